"""What a job is made of, before any cluster is asked."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from shared import HERE

from humanverse.cli import main, make_parser
from humanverse.errors import UsageError
from humanverse.run import submit
from humanverse.run.submit import Job, job_of, lets_strangers_in

PLACED = HERE / "recipes" / "cluster" / "placed.py"
CLUSTER = "http://127.0.0.1:8265"


def job(*words):
    words = ["build", *map(str, words), "--submit", CLUSTER]
    return job_of(words, make_parser().parse_args(words))


def test_a_job_is_the_same_command_with_the_recipes_folder_under_it():
    made = job(
        *(PLACED, "--out", "s3://b/root", "--set", "plan.unit_rows=5", "--limit", 7),
        *("--input", "s3://b/one.parquet", PLACED.parent / "two words.csv", "--place", "gpu=g"),
    )
    assert made.folder == PLACED.parent
    assert made.entrypoint == (
        "python -m humanverse build placed.py --set plan.unit_rows=5 --limit 7 --place gpu=g "
        "--out s3://b/root --input s3://b/one.parquet 'two words.csv' --runner ray"
    )
    made = make_parser().parse_args(made.command[3:])
    assert (made.recipe, made.limit, made.place) == ("placed.py", 7, ["gpu=g"])


def test_a_shipped_recipe_takes_no_folder_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = job("demo", "--out", "gs://b/root", "--runner", "local")
    assert made.folder is None
    assert made.entrypoint.endswith("build demo --out gs://b/root --runner local")


def test_a_root_has_jobs_of_its_own_name():
    names = [Job(root, (), None).family for root in ("s3://b/r", "s3://b/r/", "s3://b/q")]
    assert names[0] == names[1] != names[2]


def test_folders_of_this_machine_are_no_roots_and_no_inputs_of_a_job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"--out runs/x: .* whole path if all nodes see it, /"):
        job(PLACED, "--out", "runs/x")
    with pytest.raises(UsageError, match=r"--input a\.csv"):
        job(PLACED, "--out", "/runs/x", "--input", "a.csv")
    assert "--out /runs/x" in job(PLACED, "--out", "/runs/x").entrypoint


def test_a_folder_that_is_more_than_a_recipe_does_not_travel(tmp_path, monkeypatch):
    recipe = tmp_path / "recipe.py"
    recipe.write_text("")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "much").write_bytes(bytes(100))
    monkeypatch.setattr(submit, "MOST_BYTES", 99)
    assert job(recipe, "--out", "s3://b/r").folder == tmp_path
    (tmp_path / "weights").write_bytes(bytes(100))
    with pytest.raises(UsageError, match="put the recipe into a folder of its own"):
        job(recipe, "--out", "s3://b/r")


def test_a_placement_is_judged_before_a_job_is(capsys):
    words = ["build", str(PLACED), "--out", "s3://b/r", "--submit", CLUSTER, "--place", "x"]
    assert main(words) == 2
    assert "say KIND=RESOURCE" in capsys.readouterr().err


@contextmanager
def job_server(token):
    """As much of one as a stranger sees."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(401 if token and token not in self.headers.values() else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_server_thatlets_strangers_in_is_known_by_asking_as_one():
    with job_server(None) as address:
        assert lets_strangers_in(address)
    with job_server("secret") as address:
        assert not lets_strangers_in(address)
    assert not lets_strangers_in(address)  # nobody is there any more
