"The checked downloader against a server of our own: good, wrong, broken off, not there."
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gru_study import base
from gru_study.base import BadInput, data_file, digest

NAME = "music/JSB_Chorales.mat"


@pytest.fixture
def server(tmp_path, monkeypatch):
    "A folder served on loopback as the source of music files; the cache is empty"
    (tmp_path / "www").mkdir()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path / "www"))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    monkeypatch.setitem(base.sources(), NAME, f"http://127.0.0.1:{httpd.server_port}/JSB_Chorales.mat")
    monkeypatch.setitem(base.known_files(), NAME, digest(b"right"))
    monkeypatch.delenv("GRU_STUDY_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path
    httpd.shutdown()


def left_over(folder): return [p for p in (folder / "cache").rglob("*") if p.is_file()]


def test_right_file(server):
    (server / "www/JSB_Chorales.mat").write_bytes(b"right")
    path = data_file(NAME)
    assert path.read_bytes() == b"right"
    (server / "www/JSB_Chorales.mat").unlink()
    assert data_file(NAME) == path  # from the cache now


def test_wrong_file(server):
    (server / "www/JSB_Chorales.mat").write_bytes(b"wrong")
    with pytest.raises(BadInput, match="another hash.*put the file by hand at"): data_file(NAME)
    assert not left_over(server)


def test_no_such_file(server):
    with pytest.raises(BadInput, match="cannot be downloaded"): data_file(NAME)
    assert not left_over(server)


def test_no_server(server, monkeypatch):
    monkeypatch.setitem(base.sources(), NAME, "http://127.0.0.1:9/JSB_Chorales.mat")
    with pytest.raises(BadInput, match="cannot be downloaded.*ConnectionError.*put the file by hand"): data_file(NAME)
    assert not left_over(server)


def test_spoiled_cache(server):
    (server / "www/JSB_Chorales.mat").write_bytes(b"right")
    data_file(NAME).write_bytes(b"spoiled")
    with pytest.raises(BadInput, match="its SHA-256 is"): data_file(NAME)
