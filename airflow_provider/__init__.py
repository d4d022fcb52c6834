"""Retab for Airflow: a hook, operators, a sensor, a trigger and a link."""

from typing import Any

__all__ = ["get_provider_info"]


def get_provider_info() -> dict[str, Any]:
    """Return Airflow's description of the provider, without importing Airflow.

    Returns:
        The keys of Airflow's `provider_info.schema.json`. `connection-types[0]` describes the connection form, for
        every version: `conn-fields` are kept in the connection's extra, `ui-field-behaviour` is about the others.
    """
    integration = {"integration-name": "Retab"}
    return {
        "package-name": "retab-orchestration",
        "name": "Retab",
        "description": "`Retab <https://retab.com>`__ document workflows: run, wait off the worker, stop at review.",
        "integrations": [{**integration, "external-doc-url": "https://docs.retab.com", "tags": ["service"]}],
        "operators": [{**integration, "python-modules": ["airflow_provider.operators"]}],
        "sensors": [{**integration, "python-modules": ["airflow_provider.sensors"]}],
        "hooks": [{**integration, "python-modules": ["airflow_provider.hooks"]}],
        "triggers": [{**integration, "python-modules": ["airflow_provider.triggers"]}],
        "connection-types": [
            {
                "connection-type": "retab",
                "hook-name": "Retab",
                "hook-class-name": "airflow_provider.hooks.RetabHook",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "login", "port"],
                    "relabeling": {"password": "API key", "host": "Base URL"},
                    "placeholders": {"host": "https://api.retab.com"},
                },
                "conn-fields": _connection_fields(),
            }
        ],
        "extra-links": ["airflow_provider.links.RetabRunLink"],
    }


def _connection_fields() -> dict[str, Any]:
    return {
        "api": {
            "label": "API routes",
            "description": "classic: POST /v1/workflows/{id}/run; current: POST /v1/workflows/runs; auto finds out",
            "schema": {"type": ["string", "null"], "default": "auto", "enum": ["auto", "classic", "current"]},
        },
        "auth": {
            "label": "API key header",
            "description": "api-key: Api-Key; bearer: Authorization; auto finds out",
            "schema": {"type": ["string", "null"], "default": "auto", "enum": ["auto", "api-key", "bearer"]},
        },
        "timeout": {
            "label": "Request timeout",
            "description": "Seconds that one request may take; 60 when empty",
            "schema": {"type": ["number", "null"]},
        },
        "requests_per_second": {
            "label": "Requests per second",
            "description": "How many requests one process (a triggerer, a task) may send in a second; any when empty",
            "schema": {"type": ["number", "null"]},
        },
        **_network_fields(),
        "dashboard_url": {
            "label": "Dashboard URL",
            "description": "Where a task's link leads, with {workflow_id} and {run_id}; no link when empty",
            "schema": {"type": ["string", "null"]},
        },
        "namespace": {
            "label": "Namespace",
            "description": "Tells this Airflow from others with the same key; its own address when empty",
            "schema": {"type": ["string", "null"]},
        },
    }


def _network_fields() -> dict[str, Any]:
    return {
        "verify": {
            "label": "TLS verification",
            "description": "true, false, or the path of a CA bundle; true when empty",
            "schema": {"type": ["string", "null"]},
        },
        "proxy": {
            "label": "Proxy",
            "description": "http://proxy:3128; when empty, HTTP_PROXY and HTTPS_PROXY of the process count",
            "schema": {"type": ["string", "null"], "format": "password"},
        },
        "upload_hosts": {
            "label": "Upload hosts",
            "description": "storage.googleapis.com, *.example.com: the only ones large documents go to; any when empty",
            "schema": {"type": ["string", "null"]},
        },
        "max_response_bytes": {
            "label": "Largest answer",
            "description": "Bytes that an answer may have, unpacked: a run, or its steps; 16 MiB when empty",
            "schema": {"type": ["integer", "null"]},
        },
    }
