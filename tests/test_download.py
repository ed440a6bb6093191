"The checked downloader against a server of our own: good, wrong, broken off, not there."
import gzip
import io
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gru_study import datasets
from gru_study.base import BadInput
from gru_study.datasets import data_file
from gru_study.files import digest

NAME = "music/JSB_Chorales.mat"


@pytest.fixture
def server(tmp_path, monkeypatch):
    "A folder served on loopback as the source of music files; the cache is empty"
    (tmp_path / "www").mkdir()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path / "www"))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    monkeypatch.setitem(datasets.sources(), NAME, f"http://127.0.0.1:{httpd.server_port}/JSB_Chorales.mat")
    monkeypatch.setitem(datasets.known_files(), NAME, digest(b"right"))
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
    monkeypatch.setitem(datasets.sources(), NAME, "http://127.0.0.1:9/JSB_Chorales.mat")
    with pytest.raises(BadInput, match="cannot be downloaded.*ConnectionError.*put the file by hand"): data_file(NAME)
    assert not left_over(server)


def test_spoiled_cache(server):
    (server / "www/JSB_Chorales.mat").write_bytes(b"right")
    data_file(NAME).write_bytes(b"spoiled")
    with pytest.raises(BadInput, match="its SHA-256 is"): data_file(NAME)


# An archive that its host may pack anew

(ARCHIVE,) = (name for name in datasets.known_files() if name.startswith("speech/"))


def packed(folder, level, **recordings):
    "A .tar.gz of recordings, and what is none beside them"
    with io.BytesIO() as out:
        with tarfile.open(fileobj=out, mode="w:gz", compresslevel=level) as tar:
            for name, content in {**recordings, "README": b"of " + folder.encode()}.items():
                member = tarfile.TarInfo(f"{folder}/{name}" + ".wav" * (name != "README"))
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return out.getvalue()


@pytest.fixture
def archive(server, monkeypatch):
    "The address of the one archive; its recordings a and b hold b'abc' and nothing"
    monkeypatch.setitem(datasets.sources(), ARCHIVE, datasets.sources()[NAME].replace("JSB_Chorales.mat", "v1.tar.gz"))
    known = bytes.fromhex(digest(b"abc") + digest(b""))
    monkeypatch.setitem(datasets.known_files(), ARCHIVE, digest(known))
    return server / "www/v1.tar.gz"


@pytest.mark.parametrize("folder, level, order", [("x-1", 9, "ab"), ("y-2/recordings", 1, "ba")])
def test_an_archive_packed_anew_is_the_same(archive, folder, level, order):
    archive.write_bytes(packed(folder, level, **{k: {"a": b"abc", "b": b""}[k] for k in order}))
    assert data_file(ARCHIVE).read_bytes() == archive.read_bytes()


@pytest.mark.parametrize("content", [
    packed("x-1", 9, a=b"abc", b=b"x"), packed("x-1", 9, a=b"abc"), packed("x-1", 9, a=b"abc", b=b"")[:-20], b"text",
    gzip.compress(b"text")])
def test_another_archive_is_refused(archive, monkeypatch, tmp_path, content):
    archive.write_bytes(content)
    with pytest.raises(BadInput, match="another hash.*put the file by hand at"): data_file(ARCHIVE)
    assert not left_over(tmp_path)
    monkeypatch.setenv("GRU_STUDY_DATA", str(tmp_path / "own"))
    with pytest.raises(BadInput, match="does not exist; put the file there"): data_file(ARCHIVE)
    (tmp_path / "own/speech").mkdir(parents=True)
    (tmp_path / "own" / ARCHIVE).write_bytes(content)
    with pytest.raises(BadInput, match="its SHA-256 is|cannot be read as a .tar.gz"): data_file(ARCHIVE)


def hostile(size, kind=tarfile.REGTYPE, name="a.wav"):
    "An archive whose one header says what it likes"
    head = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
    head[156:157], head[148:156] = kind, b" " * 8
    head[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
    head[148:156] = b"%06o\0 " % sum(head)
    return gzip.compress(bytes(head) + b"x" * 1024 + bytes(1024))


@pytest.mark.parametrize("content", [
    hostile(-512), hostile(-1024), hostile(2**62), hostile(2**40, tarfile.GNUTYPE_SPARSE),
    hostile(-512, tarfile.GNUTYPE_LONGNAME), hostile(-1536, tarfile.XHDTYPE), hostile(10, tarfile.LNKTYPE),
    hostile(10, tarfile.SYMTYPE), gzip.compress(bytes(2**27 + 1), 1)])
def test_a_hostile_archive(archive, content):
    archive.write_bytes(content)
    with pytest.raises(BadInput, match="another hash"): data_file(ARCHIVE)


def test_names_lead_nowhere(archive, tmp_path):
    archive.write_bytes(packed("../../x", 9, a=b"abc", b=b""))
    data_file(ARCHIVE)
    assert [p.name for p in tmp_path.rglob("*.wav")] == []
