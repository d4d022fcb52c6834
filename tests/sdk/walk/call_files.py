"""The calls of files."""

from calls import contains, recipes, rows, same
from scene import INVOICE, data_uri, plain

RECIPES, recipe = recipes()


@recipe("files.upload")
def upload(call, scene):
    from retab.types.mime import MIMEData

    if scene.has("workflows.tests.execute") or scene.has("workflows.reviews.edit"):
        stored = call(mime_data=INVOICE)
        same((stored.filename, stored.url.startswith("https://")), ("invoice.pdf", True))
        return
    uploaded = call(mime_data=MIMEData(filename="invoice.pdf", url=data_uri()))
    same(uploaded.filename, "invoice.pdf")
    same(scene.make("files.get", file_id=uploaded.file_id).page_count, 1)


@recipe("files.create_upload")
def create_upload(call, scene):
    session = call(filename="invoice.pdf", size_bytes=5, content_type="application/pdf")
    same((session.upload_method, session.mime_data.filename), ("PUT", "invoice.pdf"))


@recipe("files.complete_upload")
def complete_upload(call, scene):
    session = scene.uploaded()
    same(call(file_id=session.file_id).filename, "invoice.pdf")
    same(scene.make("files.get", file_id=session.file_id).page_count, 1)


@recipe("files.get")
def get(call, scene):
    file_id = scene.file_id()
    file = call(file_id=file_id)
    same((file.id, file.filename, file.page_count), (file_id, "invoice.pdf", 1))


@recipe("files.list")
def list_(call, scene):
    file_id = scene.file_id()
    contains([file.id for file in rows(call(limit=100))], file_id)


@recipe("files.get_download_link")
def get_download_link(call, scene):
    import httpx

    link = call(file_id=scene.file_id())
    same(link.filename, "invoice.pdf")
    same(httpx.get(link.download_url).content, INVOICE.read_bytes())


@recipe("files.create_blueprint")
def create_blueprint(call, scene):
    file_id = scene.file_id()
    blueprint = call(file_id=file_id, intent="an invoice")
    same((blueprint.file.id, plain(blueprint.status), blueprint.intent), (file_id, "completed", "an invoice"))


@recipe("files.get_blueprint")
def get_blueprint(call, scene):
    blueprint = scene.make("files.create_blueprint", file_id=scene.file_id())
    same(call(blueprint_id=blueprint.id).id, blueprint.id)


@recipe("files.create_blueprint_cancel")
def cancel_blueprint(call, scene):
    blueprint = scene.make("files.create_blueprint", file_id=scene.file_id(), background=True)
    same(plain(call(blueprint_id=blueprint.id).status), "cancelled")
