"""`sheaf plan`: what fits a card, and which slices a file's models need. No card is here, and none is touched."""

import json
import math
import pathlib
import struct
import subprocess

import pytest
import yaml

from sheaf_server import BIN, MODEL, MODEL_FOLDER, Server
from simulated_machine import Machine
from test_commands import sheaf


def four_billion(folder):
    """The shape of Qwen3-Embedding-4B, but for its eight gigabytes of weights."""
    hidden, layers, heads, kv_heads, size, inner, words = 2560, 36, 32, 8, 128, 9728, 151665
    config = {"architectures": ["Qwen3Model"], "model_type": "qwen3", "attention_bias": False, "head_dim": size,
              "hidden_act": "silu", "hidden_size": hidden, "intermediate_size": inner, "max_position_embeddings": 40960,
              "num_attention_heads": heads, "num_hidden_layers": layers, "num_key_value_heads": kv_heads,
              "rms_norm_eps": 1e-6, "rope_theta": 1e6, "use_sliding_window": False, "vocab_size": words}
    shapes = {"embed_tokens": [words, hidden], "norm": [hidden]}
    for i in range(layers):
        shapes |= {f"layers.{i}.{name}": shape for name, shape in {
            "input_layernorm": [hidden], "post_attention_layernorm": [hidden],
            "self_attn.q_norm": [size], "self_attn.k_norm": [size],
            "self_attn.q_proj": [heads * size, hidden], "self_attn.k_proj": [kv_heads * size, hidden],
            "self_attn.v_proj": [kv_heads * size, hidden], "self_attn.o_proj": [hidden, heads * size],
            "mlp.gate_proj": [inner, hidden], "mlp.up_proj": [inner, hidden], "mlp.down_proj": [hidden, inner]}.items()}
    return hollow_model(folder, config, {f"{name}.weight": shape for name, shape in shapes.items()}, "BF16")


def hollow_model(folder, config, shapes, dtype):
    """A model whose weights are a hole in the file."""
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + math.prod(shape) * {"BF16": 2, "F32": 4}[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    text = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return four_billion(tmp_path_factory.mktemp("plan") / "four-billion")


def plan(tmp_path, models, *arguments):
    (tmp_path / "sheaf.yaml").write_text(yaml.safe_dump({"models": models}))
    return sheaf("plan", "-c", tmp_path / "sheaf.yaml", *arguments)


def test_capacity_lists_all_that_a_model_takes():
    result = sheaf("plan", "model", MODEL_FOLDER, "--gpu", "24GiB")
    assert result.returncode == 0, result.stderr
    for word in ["weights", "activations", "KV cache", "context*", "workspace*", "replicas", "* assumed",
                 "float32", "bfloat16", "int8", "fp8"]:
        assert word in result.stdout, word
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_card_without_a_unit_is_refused():
    result = sheaf("plan", "model", MODEL_FOLDER, "--gpu", "24")
    assert result.returncode == 2 and "no card has 24 bytes; a unit belongs to it, as in 24GiB" in result.stderr


def test_dtypes_are_those_of_sheaf_serve(tmp_path):
    said = "'float16' is not one of auto, float32, bfloat16, int8, fp8; bfloat16 is the nearest"
    for command in (["plan", "model", MODEL_FOLDER, "--gpu", "24GiB"], ["serve", MODEL_FOLDER, "--check"]):
        result = sheaf(*command, "--dtype", "float16")
        assert result.returncode == 2 and said in result.stderr and result.stdout == "", result.stderr
    result = plan(tmp_path, [{"source": MODEL_FOLDER}], "--gpu", "h200", "--dtype", "float16")
    assert result.returncode == 2 and said in result.stderr
    result = sheaf("plan", "model", MODEL_FOLDER, "--gpu", "24GiB", "--json")
    assert [row["dtype"] for row in json.loads(result.stdout)["dtypes"]] == ["float32", "bfloat16", "int8", "fp8"]
    for command in ("plan", "serve"):
        [line] = [line for line in sheaf(command, "--help").stdout.splitlines() if line.startswith("  --dtype ")]
        assert "float32, bfloat16, int8, fp8, fp8:0,2-4" in line and "auto" in line and len(line) <= 80, line


def test_capacity_as_json_adds_up():
    result = sheaf("plan", "model", MODEL_FOLDER, "--gpu", "a100-40/2g.10gb", "--json")
    facts = json.loads(result.stdout)
    assert facts["gpu_bytes"] == 9856 << 20 and "refusal" not in facts
    for row in facts["dtypes"]:
        parts = [row[f"{name}_bytes"] for name in ("weights", "activations", "kv_cache", "context", "workspace")]
        assert row["total_bytes"] == sum(parts) and row["kv_cache_bytes"] == 0
        assert row["computable"] == (row["dtype"] != "fp8")
    weights = {row["dtype"]: row["weights_bytes"] for row in facts["dtypes"]}
    stored = (pathlib.Path(MODEL_FOLDER) / "model.safetensors").stat().st_size
    assert abs(weights["float32"] - stored) < 0.01 * stored
    assert weights["int8"] < weights["bfloat16"] < weights["float32"]


def test_int8_is_as_large_as_it_is_packed(tmp_path):
    """Of 192 inputs int8 packs 256. Norms, biases and tables are float32 in both."""
    hidden, layers, inner, words, positions = 192, 4, 384, 200, 64
    shapes = {"embeddings.word_embeddings.weight": [words, hidden], "embeddings.LayerNorm.weight": [hidden],
              "embeddings.position_embeddings.weight": [positions, hidden], "embeddings.LayerNorm.bias": [hidden],
              "embeddings.token_type_embeddings.weight": [2, hidden]}
    for i in range(layers):
        for name, outputs, inputs in [("attention.self.query", hidden, hidden), ("attention.self.key", hidden, hidden),
                                      ("attention.self.value", hidden, hidden), ("output.dense", hidden, inner),
                                      ("attention.output.dense", hidden, hidden), ("intermediate.dense", inner, hidden)]:
            shapes |= {f"encoder.layer.{i}.{name}.weight": [outputs, inputs], f"encoder.layer.{i}.{name}.bias": [outputs]}
        for name in ["attention.output.LayerNorm", "output.LayerNorm"]:
            shapes |= {f"encoder.layer.{i}.{name}.{part}": [hidden] for part in ["weight", "bias"]}
    config = {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": hidden, "num_hidden_layers": layers,
              "num_attention_heads": 6, "intermediate_size": inner, "vocab_size": words, "type_vocab_size": 2,
              "max_position_embeddings": positions, "hidden_act": "gelu", "layer_norm_eps": 1e-12}
    folder = hollow_model(tmp_path / "narrow", config, shapes, "F32")
    packed = json.loads(subprocess.run([BIN / "sheaf-replica", "estimate", "--model", folder, "--dtype", "int8", "--threads", "1"],
                                       check=True, capture_output=True, text=True).stdout)["weights_bytes"]
    [row] = json.loads(sheaf("plan", "model", folder, "--gpu", "24GiB", "--dtype", "int8", "--json").stdout)["dtypes"]
    tables = (words + positions + 2) * hidden
    layers_packed, layers_planned = packed - 4 * tables, row["weights_bytes"] - 4 * tables
    assert abs(layers_packed - layers_planned) < 0.03 * layers_packed, (layers_packed, layers_planned)


def taken(tmp_path, model, *flags):
    [planned] = json.loads(plan(tmp_path, [model], *flags, "--json").stdout)["models"]
    return planned["weights_bytes"], planned["replica_bytes"]


def test_layers_in_fp8_take_a_byte_a_number(tmp_path, large):
    half = taken(tmp_path, {"source": str(large), "dtype": "bfloat16"}, "--gpu", "h200")[0]
    some = taken(tmp_path, {"source": str(large), "dtype": "fp8:0,2-4"}, "--gpu", "h200")[0]
    assert half - some == 4 * 3 * 2560 * 9728
    assert taken(tmp_path, {"source": str(large)}, "--gpu", "h200", "--dtype", "fp8:0,2-4")[0] == some
    [row] = json.loads(sheaf("plan", "model", large, "--gpu", "h200", "--dtype", "fp8:0,2-4", "--json").stdout)["dtypes"]
    assert row["dtype"] == "fp8:0,2-4" and row["weights_bytes"] == some
    shown = sheaf("plan", "model", large, "--gpu", "h200", "--dtype", "fp8:" + ",".join(map(str, range(0, 36, 2)))).stdout
    assert "fp8:0,2,… " in shown and "parts of layers 0, 2, 4, 6, 8" in shown and max(map(len, shown.splitlines())) <= 80
    result = plan(tmp_path, [{"source": str(large), "name": "m", "dtype": "fp8:0,36"}], "--gpu", "h200")
    assert result.returncode == 2 and "model m: layer 36 cannot be in fp8: the model's 36 layers are numbered from 0" in result.stderr


@pytest.mark.parametrize("dtype", ["fp8", "fp8:0,2-4"])
def test_a_card_without_fp8_is_refused_as_sheaf_serve_does(tmp_path, dtype):
    said = "model m: --dtype fp8 needs a card of compute capability 8.9 or later, and a100-40 has 8.0; --dtype bfloat16 computes on it"
    for dtypes in ({"dtype": dtype}, {}):
        result = plan(tmp_path, [{"source": MODEL_FOLDER, "name": "m"} | dtypes], "--gpu", "a100-40", *([] if dtypes else ["--dtype", dtype]))
        assert result.returncode == 1 and said in result.stderr and result.stdout == "", result.stderr
    result = sheaf("plan", "model", MODEL_FOLDER, "--gpu", "a30", "--dtype", dtype)
    assert result.returncode == 1 and "--dtype fp8 needs a card of compute capability 8.9 or later, and a30 has 8.0" in result.stderr
    assert "no fp8" in result.stdout


def test_cards_without_fp8_are_left_out_where_it_is_wanted(tmp_path):
    here = Machine(tmp_path, "a100-40", "h200-141")
    environment = {name: here.environment[name] for name in ("SHEAF_NVML", "SHEAF_NVML_SIM_STATE", "SHEAF_SLICES_FOLDER")}
    (tmp_path / "sheaf.yaml").write_text(yaml.safe_dump({"models": [{"source": MODEL_FOLDER, "dtype": "fp8:1"}]}))
    result = sheaf("plan", "-c", tmp_path / "sheaf.yaml", "--json", environment=environment)
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["card"] == "h200-141" and {slice_["card"] for slice_ in answer["slices"]} == {1}
    [left_out] = answer["left_out"]
    assert left_out.startswith("GPU 0, NVIDIA A100") and "has compute capability 8.0, and fp8 needs 8.9" in left_out


def test_streams_take_working_sets_and_workspaces(tmp_path, large):
    def of(streams, *flags):
        return taken(tmp_path, {"source": str(large)} | ({"streams": streams} if streams else {}), "--gpu", "h200", *flags)

    weights, one = of(None)
    assert of("auto") == of(1) == (weights, one)
    more = of(2)[1] - one
    assert of(4) == of(2, "--streams", "4") == (weights, one + 3 * more)
    facts = json.loads(sheaf("plan", "model", large, "--gpu", "h200", "--dtype", "bfloat16", "--json").stdout)
    [row] = facts["dtypes"]
    assert more == row["activations_bytes"] + (32 << 20) and facts["streams"] == 1
    result = sheaf("plan", "model", large, "--gpu", "16GiB", "--dtype", "bfloat16", "--streams", "8")
    assert result.returncode == 1 and "; --streams " in result.stderr and "8 at once" in result.stdout
    assert "--streams 4" in plan(tmp_path, [{"source": str(large)}], "--gpu", "h200", "--streams", "4").stdout
    for wrong in ("0", "9", "many"):
        result = sheaf("plan", "model", large, "--gpu", "h200", "--streams", wrong)
        assert result.returncode == 2 and "nor auto" in result.stderr, result.stderr
    assert plan(tmp_path, [{"source": str(large)}], "--cores", "8", "--streams", "2").returncode == 2
    result = plan(tmp_path, [{"source": str(large), "name": "m", "streams": 2}], "--cores", "8")
    assert result.returncode == 2 and "model m: streams: 2: they are of replicas on cards" in result.stderr
    spread = sheaf("plan", "model", large, "--gpu", "8GiB", "--dtype", "bfloat16", "--streams", "2")
    assert "split by heads, with --streams 1" in spread.stderr and "in bfloat16, with --streams 1:" in spread.stdout
    shown = sheaf("plan", "model", MODEL_FOLDER, "--gpu", "h100-80/1g.10gb", "--streams", "8").stdout
    assert "8 at once" in " ".join(shown.split()) and max(map(len, shown.splitlines())) <= 80


def test_the_workspace_that_was_counted_is_what_is_printed(tmp_path):
    models = [{"source": MODEL_FOLDER, "name": "a", "streams": 4}]
    assert "0.16 GiB of workspace a replica" in " ".join(plan(tmp_path, models, "--gpu", "h200").stdout.split())
    models += [{"source": MODEL_FOLDER, "name": "b"}]
    shown = plan(tmp_path, models, "--gpu", "h200").stdout
    assert "0.06 GiB to 0.16 GiB of workspace a replica" in " ".join(shown.split())
    assert max(map(len, shown[:shown.index("serve it:")].splitlines())) <= 80, shown
    facts = json.loads(plan(tmp_path, models, "--gpu", "h200", "--json").stdout)
    assert [model["workspace_bytes"] >> 20 for model in facts["models"]] == [64 + 3 * 32, 64]
    assert facts["assumed"]["workspace_bytes"] >> 20 == 64 + 3 * 32


@pytest.mark.parametrize("layers, said", [
    ("0", "parts of layer 0; bfloat16 in the others"), ("0-4", "parts of layers 0-4; bfloat16 in the others"), ("0-5", "parts of layers 0-5\n")])
def test_layers_in_fp8_are_named(layers, said):
    assert said in sheaf("plan", "model", MODEL_FOLDER, "--gpu", "h200", "--dtype", f"fp8:{layers}").stdout


def test_layers_that_are_not_there_are_refused_as_by_serve(tmp_path):
    said = "model m: layer 9 cannot be in fp8: the model's 6 layers are numbered from 0\n"
    planned = plan(tmp_path, [{"source": MODEL_FOLDER, "name": "m", "dtype": "fp8:0-9"}], "--gpu", "h200")
    assert planned.returncode == 2 and planned.stderr.endswith(said)
    for check in (["--check"], []):
        served = sheaf("serve", f"m={MODEL_FOLDER}", "--dtype", "fp8:0-9", "--device", "cpu", "--log-level", "error", "--port", "0",
                       "--grpc-port", "0", *check)
        assert served.returncode == 2 and served.stderr.endswith(said), served.stderr


def test_what_does_not_fit_is_refused_with_remedies(large):
    result = sheaf("plan", "model", large, "--gpu", "a100-40/1g.5gb", "--instances", "3")
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    for said in ["8.21 GiB of weights against 4.75 GiB", "may be used", "4g.20gb", "int8"]:
        assert said in result.stderr, result.stderr


def test_ranks_of_a_model_that_one_card_does_not_hold(large):
    result = sheaf("plan", "model", large, "--gpu", "8GiB", "--dtype", "bfloat16", "--json")
    assert result.returncode == 1
    spreads = {(s["split_by"], len(s["ranks"])): s for s in json.loads(result.stdout)["spreads"]}
    assert spreads["heads", 2]["fits"] and spreads["heads", 4]["ranks"][0]["heads"] == 8
    stages = spreads["layers", 4]["ranks"]
    assert sum(stage["layers"] for stage in stages) == 36
    assert [s["first_layer"] for s in stages[1:]] == [s["first_layer"] + s["layers"] for s in stages[:-1]]
    assert "2 such cards, split by heads" in result.stderr


def test_isolation_gets_slices_and_their_cut(tmp_path, large):
    models = [{"source": MODEL_FOLDER, "name": "mini", "target": {"tokens_per_s": 100000, "p99_ms": 100}},
              {"source": str(large), "name": "large", "isolation": "full", "target": {"tokens_per_s": 20000}}]
    result = plan(tmp_path, models, "--gpu", "h200", "--count", "8", "--json")
    assert result.returncode == 0, result.stdout + result.stderr
    answer = json.loads(result.stdout)
    assert answer["cards_used"] == 1 and answer["unmet"] == 0
    for slice_ in answer["slices"]:
        assert slice_["used_bytes"] <= slice_["usable_bytes"] and slice_["reason"]
        if "large" in slice_["models"]:
            assert slice_["models"] == ["large"] and slice_["sharing"] == "alone" and slice_["profile"]
    for model in answer["models"]:
        assert model["tokens_per_s"] >= model["wanted_tokens_per_s"] and model["reason"]

    target = tmp_path / "cut.yaml"
    written = plan(tmp_path, models, "--gpu", "h200", "--count", "8", "--cut", "--output", target)
    assert written.returncode == 0 and written.stdout == "" and "nothing was cut" in written.stderr
    [entry] = yaml.safe_load(target.read_text())["mig-configs"]["sheaf-plan"]
    profiles = [s["profile"] for s in answer["slices"]]
    assert entry == {"devices": [0], "mig-enabled": True, "mig-devices": {p: profiles.count(p) for p in profiles}}


def test_a_plan_for_people(tmp_path):
    result = plan(tmp_path, [{"source": MODEL_FOLDER, "name": "mini", "target": {"tokens_per_s": 1000}},
                             {"source": MODEL_FOLDER, "name": "rare"}], "--gpu", "l4")
    assert result.returncode == 0, result.stderr
    assert "take turns" in result.stdout and "assumed:" in result.stdout
    assert " time " in result.stdout, "sharing"


def test_a_target_out_of_reach_is_said_and_is_1(tmp_path):
    result = plan(tmp_path, [{"source": MODEL_FOLDER, "measured_tokens_per_s": 1000,
                              "target": {"tokens_per_s": 50000}}], "--gpu", "a10g", "--count", "2", "--json")
    assert result.returncode == 1 and result.stderr == ""
    [model] = json.loads(result.stdout)["models"]
    assert model["replicas"] == 2 and not model["met"] and abs(model["tokens_per_s"] - 2000) < 1
    assert "4 % of the wanted rate" in model["reason"]


def test_cores_are_split_by_need(tmp_path):
    models = [{"source": MODEL_FOLDER, "name": name, "measured_tokens_per_s": 16000, "target": {"tokens_per_s": wanted}}
              for name, wanted in (("much", 9000), ("little", 1500))]
    result = plan(tmp_path, models, "--cores", "16", "--memory", "8GiB", "--json")
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert [model["cores"] for model in answer["models"]] == [13, 3]
    assert [model["replicas"] for model in answer["models"]] == [2, 1]
    weights = [model["weights_bytes"] for model in answer["models"]]
    assert sum(weights) < answer["used_bytes"] < sum(weights) + (200 << 20) and answer["fits"]
    text = plan(tmp_path, models, "--cores", "16", "--memory", "128MiB")
    assert text.returncode == 1 and "memory does not suffice" in text.stdout


def test_without_cards_and_flags_it_says_what_to_name(tmp_path):
    (tmp_path / "x").write_text(yaml.safe_dump({"models": [{"source": MODEL_FOLDER}]}))
    result = sheaf("plan", "-c", tmp_path / "x", environment={"SHEAF_NVML": "/nowhere/libnvidia-ml.so"})
    assert result.returncode == 1 and "--gpu h200 --count 8 describes others" in result.stderr


def test_without_gpu_the_cards_here_are_planned_for(tmp_path, large):
    """Cards of a simulated NVML; their own indexes stand in the plan and in the cut."""
    state = tmp_path / "cards"
    subprocess.run([BIN / "nvml_sim", state, "create", "h200-141", "h200-141", "h200-141"], check=True)
    here = {"SHEAF_NVML": str(BIN / "libsheaf-nvml-sim.so"), "SHEAF_NVML_SIM_STATE": str(state),
            "CUDA_VISIBLE_DEVICES": "1,2"}
    (tmp_path / "sheaf.yaml").write_text(yaml.safe_dump({"models": [
        {"source": str(large), "name": "large", "isolation": "full", "target": {"tokens_per_s": 1000}},
        {"source": MODEL_FOLDER, "name": "mini", "isolation": "full", "target": {"tokens_per_s": 1000}}]}))
    result = sheaf("plan", "-c", tmp_path / "sheaf.yaml", "--json", environment=here)
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert (answer["card"], answer["cards"], answer["cards_used"]) == ("h200-141", 2, 1)
    assert {slice_["card"] for slice_ in answer["slices"]} == {1}
    cut = sheaf("plan", "-c", tmp_path / "sheaf.yaml", "--cut", environment=here)
    [entry] = yaml.safe_load(cut.stdout)["mig-configs"]["sheaf-plan"]
    assert entry["devices"] == [1] and entry["mig-enabled"]

    here["SHEAF_SLICES_FOLDER"] = str(tmp_path / "slices")
    applied = sheaf("plan", "-c", tmp_path / "sheaf.yaml", "--apply", environment=here)
    assert applied.returncode == 0 and "replicas" in applied.stdout, applied.stderr
    assert applied.stderr.count("GPU 1: create ") >= 2 and "GPU 0" not in applied.stderr
    (tmp_path / "cut.yaml").write_text(cut.stdout)
    assert sheaf("slices", "assert", tmp_path / "cut.yaml", environment=here).returncode == 0
    again = sheaf("plan", "-c", tmp_path / "sheaf.yaml", "--apply", environment=here)
    assert again.returncode == 0 and "the cards are cut so already" in again.stderr


def test_what_is_planned_and_cut_can_be_served(tmp_path, large):
    """The plan's own words, put into the file, place every replica on the slice that was planned for it."""
    here = Machine(tmp_path, "a100-40", "l4")
    environment = {name: here.environment[name] for name in ("SHEAF_NVML", "SHEAF_NVML_SIM_STATE", "SHEAF_SLICES_FOLDER")}
    config = tmp_path / "sheaf.yaml"
    models = [{"source": str(large), "name": "large", "isolation": "full", "target": {"tokens_per_s": 1000}},
              {"source": MODEL_FOLDER, "name": "mini", "isolation": "full"}]
    config.write_text(yaml.safe_dump({"models": models}))
    before = sheaf("plan", "-c", config, environment=environment)
    assert "slices:" not in before.stdout and before.stdout.count("replicas: 1") == 2, before.stdout + before.stderr
    assert f"serve it: sheaf serve --config {config} --device cuda\n" in before.stdout
    assert "left out: GPU 1, NVIDIA L4" in before.stdout
    after = sheaf("plan", "-c", config, "--apply", environment=environment)
    assert after.returncode == 0, after.stderr
    said = yaml.safe_load(after.stdout[after.stdout.index("\nmodels:\n"):])["models"]
    assert [model["name"] for model in said] == ["large", "mini"] and all(model["slices"] for model in said)
    facts = json.loads(sheaf("plan", "-c", config, "--json", environment=environment).stdout)["serve"]
    assert facts["arguments"] == ["--device", "cuda"]
    assert [model["slices"] for model in facts["models"]] == [model["slices"] for model in said]

    # The large one has no tokenizer to be served with.
    config.write_text(yaml.safe_dump({"models": [models[1] | said[1]]}))
    checked = sheaf("serve", "-c", config, "--device", "cuda", "--check", environment=environment)
    assert checked.returncode == 0 and said[1]["slices"][0] in checked.stdout, checked.stdout + checked.stderr


def test_what_cannot_be_met_is_not_cut(tmp_path):
    state = tmp_path / "cards"
    subprocess.run([BIN / "nvml_sim", state, "create", "h200-141"], check=True)
    here = {"SHEAF_NVML": str(BIN / "libsheaf-nvml-sim.so"), "SHEAF_NVML_SIM_STATE": str(state),
            "SHEAF_SLICES_FOLDER": str(tmp_path / "slices")}
    (tmp_path / "sheaf.yaml").write_text(yaml.safe_dump({"models": [
        {"source": MODEL_FOLDER, "name": "mini", "target": {"tokens_per_s": 1e12}}]}))
    result = sheaf("plan", "-c", tmp_path / "sheaf.yaml", "--apply", environment=here)
    assert result.returncode == 1 and "nothing was cut, as not all that is wanted can be had" in result.stderr


@pytest.fixture(scope="module")
def server():
    with Server("--log-level", "warn", replicas=1) as server:
        yield server


def test_a_plan_over_http_is_that_of_the_command(server, tmp_path):
    question = {"gpu": "h200", "count": 2, "models": [{"source": MODEL, "target": {"tokens_per_s": 1000}}]}
    answer = server.session.post(server.http + "/v1/plan", json=question, timeout=30)
    assert answer.status_code == 200, answer.text
    command = plan(tmp_path, [{"source": MODEL_FOLDER, "name": MODEL, "target": {"tokens_per_s": 1000}}],
                   "--gpu", "h200", "--count", "2", "--json")
    assert answer.json() == json.loads(command.stdout)
    served = server.session.post(server.http + "/v1/plan", json={"gpu": "h200", "count": 2}, timeout=30).json()
    assert "--streams" not in served["serve"]["arguments"]
    more = server.session.post(server.http + "/v1/plan", json={"gpu": "h200", "streams": 2, "max_length": 128}, timeout=30).json()
    assert more["serve"]["arguments"] == ["--device", "cuda", "--max-length", "128", "--streams", "2"]
    assert more["models"][0]["replica_bytes"] > served["models"][0]["replica_bytes"]
    assert [model["name"] for model in served["models"]] == [MODEL]


@pytest.mark.parametrize("question, status, said", [
    ([], 400, "the body is not a JSON object"), ("{", 400, "the body is not JSON, line 1, column 2"),
    ({"gpu": "h200", "models": [{"source": "/etc"}]}, 400, "'/etc' is neither served here nor a hub name"),
    ({"gpu": "h200", "models": [{"source": "../x"}]}, 400, "'../x' is neither served here nor a hub name"),
    ({"gpu": "h200", "models": [{"source": "no/such-model"}]}, 404, "no/such-model"),
    ({"gpu": "h200", "models": [{"source": MODEL, "isolatoin": "full"}]}, 400, "did you mean 'isolation'?"),
    ({"gpu": "h2000"}, 400, "h2000"), ({"gpu": 200}, 400, "h200"), ({"gpu": ["h200"]}, 400, "gpu is not a text"),
    ({"gpus": "h200"}, 400, "unknown field 'gpus'; did you mean 'gpu'?"),
    ({"gpu": "h200", "streams": 9}, 400, "streams: '9' is not a whole number from 1 to 8, nor auto"),
    ({"gpu": "h200", "models": [{"source": MODEL, "streams": 9}]}, 400, "body:1: models: streams: '9' is not a whole number from 1 to 8"),
    ({"cores": 8, "streams": 2}, 400, f"model {MODEL}: streams: 2: they are of replicas on cards"),
    ({"count": 2}, 400, "count counts the cards of gpu"), ({"gpu": "h200", "count": 0}, 400, "count is not a whole number from 1 to 64"),
    ({"gpu": "h200", "gpu_memory_utilization": 1.5}, 400, "gpu_memory_utilization is not a number above 0, up to 1"),
    ({"gpu": "h200", "models": 1}, 400, "models is not a list"), ({"gpu": "h200", "models": [{}]}, 400, "models: each is an object"),
    ({"cores": "many"}, 400, "cores: "), ({"gpu": "h200", "dtype": "int3"}, 400, "int3"),
    ({"gpu": "h200", "dtype": "float16"}, 400, "'float16' is not one of auto, float32, bfloat16, int8, fp8; bfloat16 is the nearest")])
def test_wrong_questions_over_http(server, question, status, said):
    body = question if isinstance(question, str) else json.dumps(question)
    answer = server.session.post(server.http + "/v1/plan", data=body, timeout=30, headers={"content-type": "application/json"})
    assert answer.status_code == status and said in answer.json()["error"]["message"], answer.text
    assert str(MODEL_FOLDER) not in answer.text


@pytest.mark.parametrize("model, said", [
    ({"target": {"tokens_per_sec": 1}}, "unknown key 'tokens_per_sec'; did you mean 'tokens_per_s'?"),
    ({"target": 5}, "'target' is not a map"),
    ({"target": {"p99_ms": -1}}, "target.p99_ms: '-1' is not a number above 0"),
    ({"isolation": "fully"}, "isolation: 'fully' is not one of none, memory, full"),
    ({"streams": 9}, "models: streams: '9' is not a whole number from 1 to 8, nor auto"),
    ({"isolatoin": "full"}, "unknown key 'isolatoin'; did you mean 'isolation'?")])
def test_mistakes_in_the_file_are_named(tmp_path, model, said):
    result = plan(tmp_path, [{"source": MODEL_FOLDER} | model], "--gpu", "h200")
    assert result.returncode == 2 and result.stdout == ""
    assert f"{tmp_path}/sheaf.yaml:" in result.stderr and said in result.stderr, result.stderr
