import pytest


@pytest.fixture(params=["classic", "current"])
def family(request):
    return request.param


@pytest.fixture(params=["blocking", "awaiting"])
def colour(request):
    return request.param
