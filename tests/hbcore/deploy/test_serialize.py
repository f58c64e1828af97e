"""Model files: a round trip to the byte, and every kind of damage named."""

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save

from hbcore import StackedHourglass, Tensor, load_model, no_grad, save_model
from hbcore.deploy.model_file import FORMAT, MAX_BYTES, ModelFileError, model_bytes, read_arrays


@pytest.fixture(scope="module")
def model():
    model = StackedHourglass(features=16, joints=3, depth=1, activation="prelu", stacks=2, seed=4)
    for number, (_, array) in enumerate(model.named_buffers()):
        array += 0.01 * number
    return model.eval()


@pytest.fixture(scope="module")
def good(model):
    return model_bytes(model, {"joint_names": ["a", "b", "c"], "input_size": 64})


def repack(model, change_header=lambda header: header, change_state=lambda state: state):
    """A well-formed safetensors file with another content."""
    header = {"format": FORMAT, "architecture": dict(model.architecture)}
    return save(change_state(dict(model.state_dict())), {"hbcore": json.dumps(change_header(header))})


def load_bytes(tmp_path, content):
    path = tmp_path / "model.hbcore"
    path.write_bytes(content)
    return load_model(path)


def assert_refused(tmp_path, content, message):
    with pytest.raises(ModelFileError, match=message) as caught:
        load_bytes(tmp_path, content)
    assert str(tmp_path / "model.hbcore") in str(caught.value), "the message must name the file"
    return str(caught.value)


# ---------------------------------------------------------------------------------------------------- round trip


def test_round_trip(tmp_path, model, good):
    loaded, metadata = load_bytes(tmp_path, good)
    assert metadata["joint_names"] == ["a", "b", "c"]
    assert metadata["input_size"] == 64
    assert metadata["format"] == FORMAT
    assert loaded.architecture == model.architecture
    assert not any(module.training for _, module in loaded.named_modules())
    state = loaded.state_dict()
    assert list(state) == list(model.state_dict())
    for name, array in model.state_dict().items():
        assert state[name].tobytes() == array.tobytes()
        assert state[name].dtype == array.dtype
    picture = Tensor(np.random.default_rng(0).random((1, 16, 16, 3), dtype=np.float32))
    with no_grad():
        for a, b in zip(model(picture), loaded(picture), strict=True):
            assert a.data.tobytes() == b.data.tobytes()
    assert model_bytes(loaded, {"joint_names": ["a", "b", "c"], "input_size": 64}) == good


def test_path_as_text(tmp_path, good):
    (tmp_path / "model.hbcore").write_bytes(good)
    assert load_model(str(tmp_path / "model.hbcore"))[0].architecture["joints"] == 3


def test_float64_weights_load_as_float32(tmp_path, model):
    content = repack(model, change_state=lambda s: {n: a.astype(np.float64) for n, a in s.items()})
    loaded, _ = load_bytes(tmp_path, content)
    assert all(array.dtype == np.float32 for array in loaded.state_dict().values())


# -------------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"\0" * 8, b"\0" * 1000, b"not a model, just text\n" * 20, b"\xff" * 100]
)
def test_not_a_model_at_all(tmp_path, content):
    assert_refused(tmp_path, content, "not a safetensors file")


@pytest.mark.parametrize("kept", [1, 7, 8, 9, 100, -1000, -1])
def test_truncated(tmp_path, good, kept):
    assert_refused(tmp_path, good[:kept], "not a safetensors file")


def test_something_appended(tmp_path, good):
    assert_refused(tmp_path, good + b"more", "not a safetensors file")


def test_huge_header(tmp_path, good):
    assert_refused(tmp_path, struct.pack("<Q", 2**60) + good[8:], "not a safetensors file")
    assert_refused(tmp_path, struct.pack("<Q", len(good)) + good[8:], "not a safetensors file")


def test_missing_file(tmp_path):
    with pytest.raises(ModelFileError, match=r"nowhere[^:]*: No such file or directory$"):
        load_model(tmp_path / "nowhere")


def test_directory(tmp_path):
    with pytest.raises(ModelFileError, match=f"{tmp_path.name}: is not a file"):
        load_model(tmp_path)


def test_impossible_name():
    with pytest.raises(ModelFileError, match="null"):
        load_model("a\0b")


def test_too_large(tmp_path):
    path = tmp_path / "model.hbcore"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # a sparse file: takes no space
    with pytest.raises(ModelFileError, match="more than a model may have"):
        load_model(path)


def test_safetensors_of_somebody_else(tmp_path):
    assert_refused(tmp_path, save({"x": np.zeros(3)}), f"not a file of format {FORMAT}")
    assert_refused(tmp_path, save({"x": np.zeros(3)}, {"format": FORMAT}), "not a file of format")


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "1", '"hbcore-model/1"', "[" * 100_000, "1" * 10_000])
def test_metadata_that_is_no_header(tmp_path, text):
    with pytest.raises(ModelFileError):
        load_bytes(tmp_path, save({"x": np.zeros(3)}, {"hbcore": text}))


def test_another_format(tmp_path, model, good):
    assert_refused(tmp_path, repack(model, lambda h: h | {"format": "hbcore-model/2"}), "not a file of format")
    (tmp_path / "model.hbcore").write_bytes(good)
    with pytest.raises(ModelFileError, match="not a file of format hbcore-checkpoint/1"):
        read_arrays(tmp_path / "model.hbcore", "hbcore-checkpoint/1")


def without(header, name):
    return {key: value for key, value in header.items() if key != name}


def architecture(**changes):
    return lambda header: header | {"architecture": header["architecture"] | changes}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: without(h, "architecture"), "the header lacks 'architecture'"),
        (lambda h: h | {"architecture": without(h["architecture"], "depth")}, "the header lacks 'depth'"),
        (lambda h: h | {"architecture": None}, "not a JSON object"),
        (lambda h: h | {"architecture": []}, "not a JSON object"),
        (lambda h: h | {"architecture": "hpm"}, "not a JSON object"),
        (architecture(surprise=1), "surprise"),
        (architecture(block="resnet"), "unknown block"),
        (architecture(block=["hpm"]), "unknown block"),
        (architecture(activation="gelu"), "unknown activation"),
        (architecture(features=32), "do not fit|fewer weights"),
        (architecture(joints=4), "do not fit the network: heads.0.heatmaps.weight has shape"),
        (architecture(stacks=1), "unknown .* more"),
        (architecture(depth=2), "missing"),
        (architecture(depth=-1), "depth must be at least 1"),
        (architecture(features="16"), "whole numbers"),
        (architecture(features=16.0), "whole numbers"),
        (architecture(depth=None), "whole numbers"),
        (architecture(depth=float("nan")), "whole numbers"),
        (architecture(seed="x"), "model.hbcore: ."),
        (architecture(stacks=True), "stacks must be a whole number of at least 1, got True"),
        (architecture(scale="false"), "scale must be True or False, got 'false'"),
        (architecture(binary="false"), "binary must be True or False, got 'false'"),
        (architecture(center_weights=0), "center_weights must be True or False, got 0"),
        (architecture(layers=3.0), "layers must be 3 to 6, got 3.0"),
        (architecture(cardinality=True), "cardinality must be a whole number"),
    ],
)
def test_wrong_architecture(tmp_path, model, change, message):
    assert_refused(tmp_path, repack(model, change), message)


@pytest.mark.parametrize("name", ["features", "joints", "stacks", "depth"])
@pytest.mark.parametrize("size", [160_000, 2**40, 10**30])
def test_an_architecture_that_would_take_all_memory_is_never_built(tmp_path, model, name, size):
    assert_refused(tmp_path, repack(model, architecture(**{name: size})), "fewer weights than its architecture has")


def test_more_levels_than_can_be_built(tmp_path, model):
    depth = 4000
    features = model.architecture["features"]
    weights = np.zeros(4 * features * features * depth, dtype=np.float32)  # enough for any number of stacks in use
    blob = repack(model, architecture(depth=depth), lambda state: state | {"more": weights})
    assert_refused(tmp_path, blob, "recursion")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "stem.modules.0.bias"), "missing stem.modules.0.bias"),
        (lambda s: s | {"surplus": np.zeros(1, dtype=np.float32)}, "unknown surplus"),
        (
            lambda s: s | {"stem.modules.0.bias": np.zeros(5, dtype=np.float32)},
            r"stem.modules.0.bias has shape \(5,\), expected \(4,\)",
        ),
        (lambda s: {}, "fewer weights"),
        (lambda s: s | {"stem.modules.0.bias": np.zeros(4, dtype=np.int32)}, "stem.modules.0.bias holds int32"),
    ],
)
def test_wrong_tensors(tmp_path, model, change, message):
    assert_refused(tmp_path, repack(model, change_state=change), message)


def spoil(name, value, dtype=np.float32):
    """The array of that name with one number changed."""

    def change(state):
        array = state[name].astype(dtype)
        array.flat[-1] = value
        return state | {name: array}

    return change


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("stem.modules.0.weight", np.nan, "is not finite"),
        ("stem.modules.1.running_variance", np.inf, "is not finite"),
        ("stem.modules.1.running_mean", -np.inf, "is not finite"),
        ("stem.modules.0.weight", 1e38, r"holds 1e\+38 in size, more than 1e\+06"),
        ("stem.modules.1.gamma", -1.1e6, r"holds 1.1e\+06 in size"),
        ("stem.modules.1.running_variance", -1e-6, "holds -1e-06, and no variance is below zero"),
        ("stem.modules.1.running_variance", 1.1e12, r"holds 1.1e\+12 in size, more than 1e\+12"),
    ],
)
def test_numbers_that_no_network_can_be_evaluated_with(tmp_path, model, name, value, message, dtype):
    content = repack(model, change_state=spoil(name, value, dtype))
    assert_refused(tmp_path, content, f"{name.replace('.', '[.]')} {message}")


def test_numbers_beyond_float32_are_not_finite_there(tmp_path, model):
    content = repack(model, change_state=spoil("stem.modules.0.weight", 1e300, np.float64))
    assert_refused(tmp_path, content, r"stem.modules.0.weight holds 1e\+300")


@pytest.mark.parametrize(
    ("name", "value"),
    [("stem.modules.0.weight", -1e6), ("stem.modules.1.running_variance", 1e12), ("stem.modules.1.running_mean", 0)],
)
def test_large_numbers_within_reason_are_welcome(tmp_path, model, name, value):
    loaded, _ = load_bytes(tmp_path, repack(model, change_state=spoil(name, value)))
    assert loaded.state_dict()[name].flat[-1] == np.float32(value)


def test_a_message_quotes_a_file_in_one_line(tmp_path, model):
    message = assert_refused(tmp_path, repack(model, architecture(**{"a\n\x1b[31m" + "b" * 9999: 1})), "unexpected")
    assert message.isprintable()
    assert len(message) < 800


def test_hundreds_of_mutations(tmp_path, good):
    """Whatever bytes change, a file loads or is refused by name. Most changes in weights look like other weights."""
    rng = np.random.default_rng(0)
    header_length = 8 + struct.unpack("<Q", good[:8])[0]
    refused = []
    for round_number in range(600):
        content = bytearray(good)
        end = header_length if round_number % 3 else len(good)  # most of them where they can do harm
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(0, min(end, len(content))))
            match int(rng.integers(0, 4)):
                case 0:
                    content[place] = int(rng.integers(0, 256))
                case 1:
                    content[place] ^= 1 << int(rng.integers(0, 8))
                case 2:
                    content[place] = int(rng.choice(list(b'0123456789"{}[],:-.eE')))
                case 3:
                    del content[place : place + int(rng.integers(1, 9))]
        try:
            load_bytes(tmp_path, bytes(content))
        except ModelFileError as error:
            refused.append(str(error))
    assert len(refused) > 300
    assert all(str(tmp_path / "model.hbcore") in message for message in refused)


# ------------------------------------------------------------------------------------------------ files of before

FIRST_KEYS = (
    "features", "joints", "stacks", "depth", "block", "binary", "activation", "center_weights", "clamp_weights",
)  # fmt: skip


def test_files_from_before_there_was_a_choice_load_with_what_was_built_then(tmp_path, model):
    def as_then(header):
        return header | {"architecture": {key: header["architecture"][key] for key in FIRST_KEYS}}

    loaded, _ = load_bytes(tmp_path, repack(model, as_then))
    assert loaded.architecture == model.architecture
    picture = Tensor(np.random.default_rng(0).random((1, 16, 16, 3), dtype=np.float32))
    with no_grad():
        assert loaded(picture)[-1].data.tobytes() == model(picture)[-1].data.tobytes()


def test_an_activation_without_effect_is_forgotten(tmp_path):
    """Real-valued networks could be given one once."""
    real = StackedHourglass(features=16, joints=2, depth=1, binary=False)
    loaded, _ = load_bytes(tmp_path, repack(real, architecture(activation="relu")))
    assert loaded.architecture == real.architecture


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hourglass": "x"}, "unknown hourglass 'x'"),
        ({"pool": None}, "unknown pool None"),
        ({"layers": 10**9}, "layers must be 3 to 6"),
        ({"layers": "3"}, "layers must be 3 to 6"),
        ({"cardinality": 10**12}, "need a multiple of"),
        ({"cardinality": 0.5}, "at least 1"),
        ({"cardinality": "1"}, "cardinality must be a whole number of at least 1, got '1'"),
        ({"hourglass": "improved"}, "missing|unknown"),
        ({"binary_ends": True}, "missing|unknown"),
        ({"binarize": "weights"}, "missing|unknown"),
        ({"stem": 16}, "do not fit the network"),
        ({"stem": "16"}, "stem must be a positive multiple of 8, or none, got '16'"),
        ({"stem": 10**12}, "must be at most features = 16"),
        ({"real_lin": True}, "missing|unknown"),
        ({"real_lin": None}, "real_lin must be True or False, got None"),
        ({"real_skip": True}, "missing|unknown"),
        ({"real_skip": 1}, "real_skip must be True or False, got 1"),
        ({"sharpness": "3"}, "sharpness must be a number above 0, at most 1e\\+30, got '3'"),
        ({"sharpness": -3}, "sharpness must be a number above 0"),
        ({"sharpness": 10**400}, "sharpness must be"),
        ({"sharpness": 10**31}, "sharpness must be"),
        ({"sharpness": float("nan")}, "sharpness must be"),
    ],
)
def test_damaged_choices_are_named(tmp_path, model, changes, message):
    assert_refused(tmp_path, repack(model, architecture(**changes)), message)


@pytest.mark.parametrize(
    "options",
    [
        {"block": "multiscale", "pool": "avg"},
        {"hourglass": "improved", "layers": 3, "cardinality": 2},
        {"binarize": "weights", "binary_ends": True},
        {"stem": 16, "real_lin": True},
        {"real_skip": True, "activation": "relu"},
        {"binarize": "activations", "sharpness": 2.5, "scale": False},
    ],
)
def test_variants_survive_the_round_trip(tmp_path, options):
    model = StackedHourglass(features=16, joints=2, depth=1, stacks=2, seed=3, **options).eval()
    loaded, _ = load_bytes(tmp_path, model_bytes(model, {}))
    assert loaded.architecture == model.architecture
    picture = Tensor(np.random.default_rng(0).random((1, 16, 16, 3), dtype=np.float32))
    with no_grad():
        assert loaded(picture)[-1].data.tobytes() == model(picture)[-1].data.tobytes()


# -------------------------------------------------------------------------------------------------------- saving


def small():
    return StackedHourglass(features=np.int64(16), joints=np.int64(2), depth=1)


def test_what_is_saved_can_be_loaded(tmp_path):
    """Also with NumPy's numbers in the architecture and in the metadata."""
    model, path = small(), tmp_path / "small.safetensors"
    save_model(model, path, {"size": np.int64(64), "points": np.array([[1.0, 2.0]]), "name": "bee"})
    loaded, metadata = load_model(path)
    assert {key: metadata[key] for key in ("size", "points", "name")} == {"size": 64, "points": [[1, 2]], "name": "bee"}
    assert loaded.architecture == model.architecture
    for name, array in loaded.state_dict().items():
        assert array.tobytes() == model.state_dict()[name].tobytes()
    save_model(model, str(path))
    assert "name" not in load_model(path)[1]
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": "mine"}, "metadata must not name format, which the file says itself"),
        ({"architecture": {}, "format": 1}, "metadata must not name architecture, format"),
        ({"when": {1, 2}}, "metadata holds a set, which JSON does not know"),
    ],
)
def test_metadata_that_would_spoil_the_file(tmp_path, metadata, message):
    path = tmp_path / "small.safetensors"
    path.write_bytes(b"before")
    with pytest.raises(ModelFileError, match=f"small.safetensors: this network cannot be saved: {message}"):
        save_model(small(), path, metadata)
    assert path.read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 1


def spoil_weight(model, value):
    model.stem.modules[0].weight.data.flat[0] = value


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda m: spoil_weight(m, np.nan), "stem.modules.0.weight is not finite"),
        (lambda m: spoil_weight(m, np.inf), "stem.modules.0.weight is not finite"),
        (lambda m: spoil_weight(m, 2e6), r"stem.modules.0.weight holds 2e\+06 in size"),
        (lambda m: m.stem.modules[1].running_variance.fill(-1), "running_variance holds -1"),
        (lambda m: m.architecture.update(stacks=True), "stacks must be a whole number"),
        (lambda m: m.architecture.update(scale="false"), "scale must be True or False"),
        (lambda m: m.architecture.update(surprise=1), "missing or unknown are surprise"),
        (lambda m: m.architecture.pop("depth"), "missing or unknown are depth"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(tmp_path, spoil, message):
    model = small()
    spoil(model)
    with pytest.raises(ModelFileError, match=f"cannot be saved: .*{message}"):
        save_model(model, tmp_path / "small.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ModelFileError, match=r"nowhere.small\.safetensors: No such file"):
        save_model(small(), tmp_path / "nowhere" / "small.safetensors")
