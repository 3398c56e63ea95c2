"""``/docs``: the description of the interface as a page, which needs nothing from the internet.

``static/swagger`` holds Swagger UI as its makers publish it (npm package ``swagger-ui-dist``), compressed, with its
licence.
"""

import gzip
from importlib.resources import files

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response

from anemone_lib.service.problems import Problem

#: The files of Swagger UI: name → media type.
ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}


def add_documents(app: FastAPI) -> None:
    """Add the page to an app.

    Parameters
    ----------
    app : FastAPI
    """

    @app.get("/docs", include_in_schema=False)
    def show_documents() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=f"{app.title}: the interface",
            swagger_js_url="docs/swagger-ui-bundle.js",
            swagger_css_url="docs/swagger-ui.css",
            swagger_favicon_url="data:,",
            swagger_ui_parameters={"validatorUrl": "none"},  # the default asks a server on the internet
        )

    @app.get("/docs/{name}", include_in_schema=False)
    def give_asset(name: str, request: Request) -> Response:
        if name not in ASSETS:
            raise Problem(404, "not_found", "no such route; see /docs")
        content = (files("anemone_lib.service") / "static" / "swagger" / f"{name}.gz").read_bytes()
        headers = {"Cache-Control": "max-age=86400", "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
        else:
            content = gzip.decompress(content)
        return Response(content, media_type=ASSETS[name], headers=headers)
