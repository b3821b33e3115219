"""What everything is measured against: one bare Litestar route, behind the same server as `sales serve`."""

import sys

import uvicorn
from litestar import Litestar, get


@get("/")
async def bare() -> dict[str, str]:
    return {"hello": "world"}


if __name__ == "__main__":
    app = Litestar([bare], openapi_config=None, logging_config=None)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
    )
