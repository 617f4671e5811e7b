"""The exported schemas say what the package does."""

import json
from pathlib import Path

import jsonschema
import pyarrow.parquet as pq
from shared import RECIPE

import humanverse
from humanverse import schema
from humanverse.run.build import Settings, build
from humanverse.schema_export import documents

SCHEMAS = Path(__file__).parent.parent / "schemas"


def test_the_exported_files_are_those_of_the_code():
    exported = {
        str(p.relative_to(SCHEMAS)): json.loads(p.read_text()) for p in SCHEMAS.rglob("*.json")
    }
    assert exported == documents(), "run `make schemas`"


def test_what_a_build_writes_fits_its_schemas(web, tmp_path):
    build(RECIPE, [web.table], tmp_path, settings=Settings("local"))
    told = documents()
    for path in (tmp_path / "commits").glob("*.json"):
        jsonschema.validate(json.loads(path.read_text()), told["commit.v1.json"])
    ledger = humanverse.ledger(tmp_path)
    assert ledger.schema == schema.schema_of(schema.LEDGER)
    for row in ledger.to_pylist():
        jsonschema.validate(row, told["ledger.v1.json"])
    with humanverse.open(tmp_path) as ds:
        fields = {f.name: f.type for f in ds.table.schema}
        sample = schema.SAMPLE | schema.SELECTED
        assert {n: fields[n] for n in sample} == {n: c.type for n, c in sample.items()}
        for row in ds.to_table(list(sample)).to_pylist():
            jsonschema.validate(row, told["sample.v1.json"])
    (file,) = (tmp_path / "select").glob("*.parquet")
    selection = pq.read_table(file)
    assert selection.schema == schema.schema_of(schema.SELECTION)
    for row in selection.to_pylist():
        jsonschema.validate(row, told["selection.v1.json"])


def test_every_reason_has_a_fate_and_an_explanation():
    for name, reason in schema.REASONS.items():
        assert reason.status in ("rejected", "failed", "deferred"), name
        assert reason.doc


def test_public_names_are_these():
    assert sorted(humanverse.__all__) == [
        *("DataError", "Dataset", "HumanverseError", "UsageError", "WeightsMissing"),
        *("build", "concat", "ledger", "mix", "open", "takedown"),
    ]
