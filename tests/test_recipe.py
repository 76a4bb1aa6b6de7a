"""Recipes: what is wrong is told by its key, with what was meant."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from suffuse import encoders, fusions, losses, modalities
from suffuse.errors import UsageError
from suffuse.recipe import Export, Recipe, make_recipe, read_recipe, to_yaml
from suffuse.recipe.yaml_io import parse_yaml
from suffuse.registry import load

SHIPPED = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))


@pytest.fixture
def raw(tiny_recipe) -> dict:
    return copy.deepcopy(tiny_recipe(Path("rows.csv")))


@pytest.fixture
def file(raw, tmp_path) -> Path:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(raw))
    return tmp_path / "mine.yaml"


def put(raw: dict, key: str, value: object) -> dict:
    """Set a.b.c."""
    *way, last = key.split(".")
    place = raw
    for step in way:
        place = place.setdefault(step, {})
    place[last] = value
    return raw


def refused(raw: dict) -> UsageError:
    with pytest.raises(UsageError) as caught:
        make_recipe(raw, "mine.yaml")
    assert "\n" not in caught.value.line()
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize("path", SHIPPED, ids=[p.stem for p in SHIPPED])
def test_shipped_recipes_load_and_survive_being_written(path):
    recipe = read_recipe(path)
    assert make_recipe(yaml.safe_load(to_yaml(recipe))) == recipe


@pytest.mark.parametrize("path", [p for p in SHIPPED if p.stem.endswith("-pretrained")], ids=lambda p: p.stem)
def test_a_pretrained_variant_differs_in_its_teacher_alone(path):
    """Same data, student, losses and baselines: what a comparison of the two shows is the teacher's."""
    variant, plain = (read_recipe(p) for p in (path, path.with_name(path.name.replace("-pretrained", ""))))
    for section in ("data", "student", "distill", "evaluate", "compute"):
        assert getattr(variant, section) == getattr(plain, section), section
    for name, settings in plain.modalities.items():
        assert variant.modalities[name] == settings
    teacher = variant.trained
    assert teacher and not {*teacher.encoders} & {*variant.student.encoders}
    assert any(encoder.get("frozen") for encoder in teacher.encoders.values())


def test_every_scenario_has_a_pretrained_teacher():
    """Of products and orders it is the shipped one; frozen vectors, or embeddings as a modality's form."""
    for name in ("products", "orders", "easy-vqa-pretrained"):
        recipe = next(read_recipe(p) for p in SHIPPED if p.stem == name)
        assert recipe.trained
        forms = [recipe.modalities[n].get("form") for n in recipe.trained.encoders]
        assert any(e.get("frozen") for e in recipe.trained.encoders.values()) or "embedding" in forms, name


def test_there_are_shipped_recipes():
    assert SHIPPED


def test_a_recipe_equals_its_yaml(raw):
    recipe = make_recipe(raw)
    assert make_recipe(yaml.safe_load(to_yaml(recipe))) == recipe
    for section in recipe.model_dump(mode="json"):
        assert f"\n{section}:" in "\n" + to_yaml(recipe)  # every default is written out


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("modalites", "modalities"),
        ("data.sorce", "source"),
        ("data.split.colum", "column"),
        ("teacher.train.epoch", "epochs"),
        ("teacher.hiden", "hidden"),
        ("modalities.picture.sise", "size"),
        ("modalities.question.vocabulry", "vocabulary"),
        ("teacher.encoders.picture.width", "widths"),
        ("student.encoders.question.embeding", "embedding"),
        ("student.fusion.widht", "width"),
        ("distill.losses.soft.temprature", "temperature"),
        ("distill.trian", "train"),
        ("evaluate.confidnce", "confidence"),
        ("modalities.picture.augment.fliip", "flip"),
        ("data.tasks.answer.weihgt", "weight"),
        ("distill.schedules.soft.wieght", "weight"),
        ("distill.baseline.train.mxiup", "mixup"),
    ],
)
def test_an_unknown_key_has_a_suggestion(raw, key, meant):
    put(raw, "distill.losses", {"soft": {"kind": "kd"}})
    error = refused(put(raw, key, 1))
    assert error.where == f"mine.yaml: {key}"
    assert error.got == f"'{key.rpartition('.')[2]}'"
    assert error.hint.startswith(f"did you mean '{meant}'?")


def test_a_part_s_keys_are_those_of_its_kind(raw):
    error = refused(put(raw, "teacher.encoders.picture.qqqq", 1))
    assert error.hint == "there is: dense, kind, norm, pool, stride, widths"
    raw["teacher"]["encoders"]["picture"].pop("qqqq")
    put(raw, "modalities.fusion", {"kind": "text", "column": "c", "lenght": 3})  # a name that is a section elsewhere
    assert refused(raw).hint.startswith("did you mean 'length'?")


@pytest.mark.parametrize("kind", ["image", "audio", "sequence", "text"])
@pytest.mark.parametrize("augment", [{"ue": None}, {"ue": {"a": 1}}, {1: 2}, {None: None}, ["ue"], "ue", 5.5])
def test_whatever_augment_holds_is_one_error(raw, kind, augment):
    features = {"features": 2} if kind == "sequence" else {}
    put(raw, "modalities.picture", {"kind": kind, "column": "c", "augment": augment, **features})
    assert "modalities.picture.augment" in refused(raw).where


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("teacher.encoders.picture.kind", "covn", "got kind 'covn', did you mean 'conv'?"),
        ("student.fusion.kind", "gatd", "got kind 'gatd', did you mean 'gated'?"),
        ("modalities.picture.kind", "smell", "got kind 'smell', there is: " + ", ".join(sorted(modalities.TABLE))),
        ("modalities.picture.kind", ["image"], "got kind '['image']', did you mean 'image'?"),
        (
            "modalities.picture",
            3,
            "expected a mapping with 'kind' (one of " + ", ".join(sorted(modalities.TABLE)) + ")",
        ),
        ("distill.losses", {"a": {}}, "expected a mapping with 'kind'"),
        ("teacher.train.epochs", "many", "got 'many', expected a valid integer"),
        ("teacher.train.epochs", 0, "got 0, expected greater than or equal to 1"),
        ("teacher.train.precision", "fp8", "got 'fp8', expected 'fp32', 'tf32', 'bf16' or 'fp16'"),
        ("compute.device", "gpu", "got 'gpu', expected auto, cpu, cuda, cuda:N, mps or xpu"),
        ("compute.device", "cuda:x", "got 'cuda:x', expected auto, cpu, cuda, cuda:N, mps or xpu"),
        ("teacher.encoders.picture.norm", "layer", "got 'layer', expected 'batch', 'group' or 'none'"),
        ("data", [], "got [], expected"),
        ("version", 2, "got 2, expected 1"),
        ("name", "a b", "got 'a b'"),
        ("distill.losses.x", {"kind": "kd", "temperature": 0}, "got 0, expected greater than 0"),
        ("modalities.picture.size", 10**9, "got 1000000000"),
    ],
)
def test_a_value_that_can_t_be_is_told(raw, key, value, said):
    error = refused(put(raw, key, value))
    assert said in error.line()
    assert key.removesuffix(".kind").split(".")[0] in error.where


@pytest.mark.parametrize("key", ["data.source", "data.target", "modalities", "teacher", "teacher.encoders", "student"])
def test_a_missing_key_is_told(raw, key):
    *way, last = key.split(".")
    place = raw
    for step in way:
        place = place[step]
    del place[last]
    error = refused(raw)
    assert error.message == "a key is missing in the recipe"
    assert error.where == f"mine.yaml: {key}" and error.expected == f"'{last}'"


def test_a_modality_s_missing_column_is_told(raw):
    del raw["modalities"]["picture"]["column"]
    assert refused(raw).where == "mine.yaml: modalities.picture.column"


def test_several_problems_are_counted(raw):
    put(raw, "sead", 1)
    put(raw, "teacher.train.epochs", 0)
    assert refused(raw).hint.endswith("1 more after this")


def test_a_network_reads_some_of_the_modalities(raw):
    del raw["student"]["encoders"]["question"]
    assert list(make_recipe(raw).student.encoders) == ["picture"]
    raw["student"]["encoders"]["sound"] = {"kind": "gru"}
    line = refused(raw).line()
    assert "student.encoders" in line and "got picture, sound" in line and "some of: picture, question" in line


def test_a_network_reads_the_modalities_that_are_chosen_of_its_encoders(raw):
    whole = make_recipe(raw)
    for network in ("student", "teacher"):
        del raw[network]["fusion"]
    raw["student"]["modalities"] = ["question"]
    made = make_recipe(raw)
    assert made.student.encoders == {"question": whole.student.encoders["question"]}
    assert made.student.fusion.kind == "gated"
    assert made.teacher.encoders == whole.teacher.encoders  # type: ignore[union-attr]
    assert make_recipe(yaml.safe_load(to_yaml(made))) == made
    assert made.student.only("question").bare() == made.student.only("question")
    raw["teacher"]["modalities"] = ["question"]
    assert list(make_recipe(raw).teacher.encoders) == ["question"]  # type: ignore[union-attr]
    raw["student"]["modalities"] = ["sound"]
    assert "modalities: got 'sound', expected some of: picture, question" in refused(raw).line()


@pytest.mark.parametrize("who", ["teacher", "distill"])
@pytest.mark.parametrize("nothing", [None, {}, {"flip": False, "shift": 0.0}])
def test_augmentation_needs_something_that_is_augmented(raw, who, nothing):
    """It would be switched on and change nothing, without a word."""
    put(raw, f"{who}.train.augment", True)
    put(raw, "modalities.picture.augment", nothing)
    assert f"{who}.train.augment: got true, expected a modality with augment" in refused(raw).line()
    put(raw, "modalities.picture.augment", {"flip": True})
    make_recipe(raw)


def test_a_modality_that_no_network_reads_is_refused(raw):
    for network in (raw["teacher"], raw["student"]):
        del network["encoders"]["question"]
    assert "modalities.question" in refused(raw).line() and "no network" in refused(raw).line()


@pytest.mark.parametrize(
    ("target", "tasks", "losses"),
    [
        ("answer", {}, {"labels": "task", "soft": "kd"}),
        (["a", "b"], {"b": {"kind": "number"}}, {"labels": "task", "soft": "kd", "soft_numbers": "regression_kd"}),
        ("a", {"a": {"kind": "labels"}}, {"labels": "task", "soft_labels": "multilabel_kd"}),
        ("a", {"a": {"kind": "number"}}, {"labels": "task", "soft_numbers": "regression_kd"}),
    ],
)
def test_default_losses_follow_the_targets(raw, target, tasks, losses):
    raw["data"] |= {"target": target, "tasks": tasks}
    assert {n: s.kind for n, s in make_recipe(raw).distill.losses.items()} == losses
    assert make_recipe(make_recipe(raw).model_dump(mode="json")) == make_recipe(raw)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("data.target", ["a", "a"], "several different ones"),
        ("data.target", [], "expected one column"),
        ("data.tasks", {"other": {}}, "tasks.other"),
        ("data.tasks", {"answer": {"kind": "number", "empty": "0"}}, "an empty cell is no number"),
        ("data.tasks", {"answer": {"kind": "anything"}}, "'classes', 'labels', 'number' or 'tokens'"),
        ("teacher.train", {"modality_dropout": {"sound": 0.5}}, "modality_dropout"),
        ("distill.train", {"modality_dropout": 1.5}, "expected a share from 0 to 1"),
    ],
)
def test_what_targets_and_dropout_can_t_be(raw, key, value, words):
    put(raw, key, value)
    assert words in refused(raw).line()


@pytest.mark.parametrize(
    "name", ["fused", "present", "logits", "gates", "key", "content", "keys", "not a word", "a-b", "7"]
)
def test_a_modality_s_name_is_a_plain_word_of_its_own(raw, name):
    for place in (raw["modalities"], raw["teacher"]["encoders"], raw["student"]["encoders"]):
        place[name] = place.pop("picture")
    assert f"modalities.{name}" in refused(raw).line()


def test_no_modality_is_no_recipe(raw):
    raw["modalities"], raw["teacher"]["encoders"], raw["student"]["encoders"] = {}, {}, {}
    assert "modalities" in refused(raw).where


def test_overrides(file):
    asked = ["teacher.train.epochs=7", "distill.label_fractions=[0.1, 0.2]", "data.group=null", "name=new",
             "student.encoders.picture={kind: conv, widths: [2]}", "export.tolerance=1.0e-3"]  # fmt: skip
    recipe = read_recipe(file, asked)
    assert recipe.teacher.train.epochs == 7
    assert recipe.distill.label_fractions == (0.1, 0.2)
    assert recipe.data.group is None and recipe.name == "new"
    assert recipe.student.encoders["picture"].widths == (2,)  # type: ignore[attr-defined]
    assert recipe.export.tolerance == 1e-3
    assert recipe.student.hidden == read_recipe(file).student.hidden


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("teacher.train.epoch=7", "unknown key"),
        ("teacher", "can't read this override (--set): got teacher, expected a.b=value"),
        ("=3", "can't read this override"),
        ("seed.deep=3", "no such key to set (--set seed.deep): got 'seed' holds a value"),
        ("seed=[1", "can't read this override (--set seed)"),
        ("seed=x", "seed): got 'x'"),
    ],
)
def test_overrides_that_can_t_be(file, raw, override, said):
    raw["seed"] = 1
    file.write_text(yaml.safe_dump(raw))
    with pytest.raises(UsageError) as caught:
        read_recipe(file, [override])
    assert said in caught.value.line()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version: 1\ndata: {source: a}}\nteacher: 3\n", ":2"),
        (b"version: 1\ndata: {source: [\nteacher: 3\n", ":4"),  # never closed
        (b"a: b: c\n", ":1"),
        (b"version: 1\n\tdata: x\n", ":2"),
        (b"", "got nothing"),
        (b"- a\n- b\n", "got a list"),
        (b"just words", "got a text"),
        (b"\xff\xfe\x00", "can't read the recipe"),
        (b"a: !!python/object/apply:os.getcwd []\n", "not YAML"),
    ],
)
def test_files_that_are_no_recipe(tmp_path, content, said):
    (tmp_path / "mine.yaml").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_recipe(tmp_path / "mine.yaml")
    assert said in caught.value.line() and "mine.yaml" in caught.value.line()


def test_a_file_that_isn_t_there(tmp_path):
    with pytest.raises(UsageError, match="no such recipe") as caught:
        read_recipe(tmp_path / "gone.yaml")
    assert "suffuse init" in caught.value.hint


def test_a_recipe_doesn_t_change_after_reading(raw):
    recipe = make_recipe(raw)
    for place, key in ((recipe, "seed"), (recipe.teacher.train, "epochs"), (recipe.modalities["picture"], "size")):
        with pytest.raises(ValueError, match="frozen"):
            setattr(place, key, 3)


def test_every_part_s_settings_know_their_kind():
    for table in (modalities.TABLE, encoders.TABLE, fusions.TABLE, losses.TABLE):
        for kind in table:
            part = load(table, kind).Settings
            required = [n for n, key in part.model_fields.items() if key.is_required()]
            needed = {n: "c" if n in ("column", "name", "map") else 1 for n in required}
            assert part.model_validate({"kind": kind, **needed}).kind == kind


def networks(count: int) -> dict:
    """A network on so many modalities that names no fusion."""
    return {"encoders": {f"text{n}": {"kind": "gru"} for n in range(count)}}


@pytest.mark.parametrize(("count", "kind"), [(1, "gated"), (2, "gated"), (3, "transformer"), (7, "transformer")])
def test_the_fusion_that_no_recipe_names_fits_the_modalities(raw, count, kind):
    raw["modalities"] = {f"text{n}": {"kind": "text", "column": f"c{n}"} for n in range(count)}
    raw["teacher"], raw["student"] = networks(count), networks(count)
    recipe = make_recipe(raw)
    for network in (recipe.teacher, recipe.student, recipe.student.bare()):
        assert network.fusion.kind == kind
        assert network.fusion == load(fusions.TABLE, kind).Settings()
    written = yaml.safe_load(to_yaml(recipe))  # so that another default, one day, doesn't change this run
    assert written["student"]["fusion"] == load(fusions.TABLE, kind).Settings().model_dump()
    raw["student"]["fusion"] = {"kind": "concat"}
    assert make_recipe(raw).student.fusion.kind == "concat"


@pytest.mark.parametrize(
    ("count", "fusion", "said"),
    [
        (3, {"kind": "film"}, "got 3 modalities for fusion 'film', expected 2"),
        (1, {"kind": "film"}, "got 1 modality for fusion 'film', expected 2"),
        (1, {"kind": "cross_attention"}, "got 1 modality for fusion 'cross_attention', expected 2 to 64"),
        (65, {"kind": "gated"}, "got 65 modalities for fusion 'gated', expected 1 to 64"),
        (9, {"kind": "low_rank"}, "expected 1 to 8"),
        (2, {"kind": "weighted", "weights": [1, 2, 3]}, "got 2 modalities for fusion 'weighted', expected 3"),
        (2, {"kind": "weighted", "weights": [1, 0]}, "got 0, expected greater than 0"),
        (2, {"kind": "weighted", "weights": [1, float("nan")]}, "weights"),
        (2, {"kind": "weighted", "weights": [1, float("inf")]}, "weights"),
        (2, {"kind": "transformer", "width": 30, "heads": 4}, "got width 30 and heads 4, expected a width that heads"),
        (2, {"kind": "bottleneck", "width": 30, "heads": 4}, "got width 30 and heads 4, expected a width that heads"),
        (2, {"kind": "cross_attention", "width": 5}, "got width 5 and heads 4, expected a width that heads"),
        (2, None, "expected a mapping with 'kind'"),
    ],
)
def test_a_fusion_that_can_t_be_is_refused_with_the_recipe(raw, count, fusion, said):
    raw["modalities"] = {f"text{n}": {"kind": "text", "column": f"c{n}"} for n in range(count)}
    raw["teacher"], raw["student"] = networks(count), {**networks(count), "fusion": fusion}
    if count == 65:
        raw["teacher"]["fusion"] = {"kind": "weighted", "weights": [1] * 65}
    error = refused(raw)
    assert said in error.line() and "student" in error.where


@pytest.mark.parametrize("more", [{"hidden": 8}, {"dropout": 0.1}])
def test_late_fusion_has_heads_of_its_own(raw, more):
    raw["student"] = {**raw["student"], "fusion": {"kind": "late"}}
    assert make_recipe(raw).student.fusion.kind == "late"
    raw["student"].update(more)
    assert "got hidden or dropout beside fusion 'late', expected neither" in refused(raw).line()


@pytest.mark.parametrize(
    ("fusion", "kept"),
    [
        ({"kind": "gated", "width": 9}, True),
        ({"kind": "transformer", "width": 8}, True),
        ({"kind": "late"}, True),
        ({"kind": "cross_attention", "width": 8}, False),
        ({"kind": "film"}, False),
        ({"kind": "weighted", "width": 9, "weights": [1, 2]}, False),
    ],
)
def test_a_network_on_one_modality(raw, fusion, kept):
    """What a floor is trained with: a fusion that takes more makes room for concatenation."""
    raw["student"] = {**raw["student"], "fusion": fusion}
    student = make_recipe(raw).student
    alone = student.only("question")
    assert alone.encoders == {"question": student.encoders["question"]}
    assert alone == alone.bare()
    assert (alone.fusion == student.fusion) == kept
    if not kept:
        assert alone.fusion.kind == "concat" and alone.fusion.width == fusion.get("width", 128)  # type: ignore[attr-defined]


def test_networks_are_bare_without_their_training(raw):
    recipe: Recipe = make_recipe(raw)
    assert "train" not in recipe.teacher.bare().model_dump()
    assert recipe.teacher.bare().encoders == recipe.teacher.encoders


LIGHT = """
import sys
heavy = {"torch", "pandas", "sklearn", "scipy", "onnx", "datasets", "matplotlib", "onnxruntime"}
import suffuse
print(sorted(heavy & set(sys.modules)))
from suffuse.recipe import read_recipe
from pathlib import Path
read_recipe(Path(sys.argv[1]))
print(sorted(heavy & set(sys.modules)))
"""


def test_reading_a_recipe_loads_nothing_heavy(file):
    said = subprocess.run([sys.executable, "-c", LIGHT, str(file)], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n[]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1\nname: a\nseed: 2\n", "(PATH:3): got 'seed', in line 1 too"),
        ("data: {source: a, target: b, source: c}\n", "(PATH:1): got 'source', in line 1 too"),
        ("modalities:\n  a: {kind: text}\n  b: {kind: text}\n  a: {kind: image}\n", "(PATH:4): got 'a', in line 2 too"),
        (
            "teacher:\n  train: {epochs: 1}\n  hidden: 3\n  train:\n    epochs: 2\n",
            "(PATH:4): got 'train', in line 2 too",
        ),
    ],
)
def test_a_key_that_stands_twice_is_told_and_not_taken(tmp_path, text, said):
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="a key stands twice in the recipe") as caught:
        read_recipe(path)
    assert said.replace("PATH", str(path)) in caught.value.line()


def test_a_key_may_stand_in_two_places_and_override_a_merged_one(tmp_path, raw):
    path = tmp_path / "recipe.yaml"
    both = "train: {epochs: 3}\nother: {<<: {epochs: 3, batch: 8}, epochs: 4}\n"
    assert parse_yaml(both)["other"] == {"epochs": 4, "batch": 8}
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    assert read_recipe(path) == make_recipe(raw)


def test_int8_off_may_stand_without_quotes(tmp_path):
    assert Export.model_validate(yaml.safe_load("int8: off")).int8 == "off"
    again = yaml.safe_load(yaml.safe_dump(Export(int8="off").model_dump(mode="json")))
    assert Export.model_validate(again).int8 == "off"
    with pytest.raises(ValueError, match="auto"):
        Export.model_validate(yaml.safe_load("int8: on"))
