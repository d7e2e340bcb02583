"""Bad input: one sentence with the remedy on stderr, exit code 2, nothing on stdout, never a traceback."""

import json

import pytest
from scenario_texts import GPT3, HSTU, TINY


def edited(old, new, text=GPT3):
    assert old in text
    return text.replace(old, new)


BAD = {
    "typo of a section": (edited("plan:", "pln:"), [], "line 5, pln: no such key; did you mean plan?"),
    "typo of a key": (edited("tensor: 8", "tensr: 8"), [], "line 6, plan.tensr: no such key; did you mean tensor?"),
    "key in the wrong place": (
        GPT3 + "tensor: 8\n",
        [],
        "line 12, tensor: no such key in a scenario; tensor belongs at plan.tensor",
    ),
    "typo of a cluster keyword": (
        edited("nodes: 8", "nodse: 8"),
        [],
        "cluster.nodse: no such key; did you mean nodes?",
    ),
    "key missing": (
        edited("  global_batch: 64\n", ""),
        [],
        "plan.global_batch: this key is required; add `global_batch: 64`",
    ),
    "version missing": (
        edited("schema_version: 1\n", ""),
        [],
        "schema_version: this key is required; add `schema_version: 1`",
    ),
    "unknown version": (edited("schema_version: 1", "schema_version: 2"), [], "2 is not a choice here; use 1"),
    "text for a number": (
        edited("tensor: 8", "tensor: eight"),
        [],
        "line 6, plan.tensor: 'eight' does not fit; it must be a whole number",
    ),
    "fraction for a count": (edited("tensor: 8", "tensor: 8.5"), [], "8.5 does not fit; it must be a whole number"),
    "zero": (edited("tensor: 8", "tensor: 0"), [], "0 does not fit; it must be above 0"),
    "negative": (GPT3 + "seed: -1\n", [], "-1 does not fit; it must be at least 0"),
    "above 2^53": (edited("tensor: 8", "tensor: 9007199254740993"), [], "it must be at most 2^53 (9007199254740992)"),
    "not a number": (GPT3, ["plan.bucket_mib=.nan"], "nan does not fit; it must be a finite number"),
    "unknown choice": (edited("selective", "selectiv"), [], "'selectiv' is not a choice here; did you mean selective?"),
    "number for a name": (
        edited("name: gpt3", "name: 175"),
        [],
        "line 2, name: 175 does not fit; it must be text; put it in quotes",
    ),
    "section left empty": (
        TINY[: TINY.index("plan:")] + "plan:\n",
        [],
        "plan: nothing stands here, and it must be a mapping",
    ),
    "list for a mapping": (
        edited("cluster: {preset: dgx_a100, nodes: 8}", "cluster: [dgx_a100]"),
        [],
        "a list does not fit; it must be a mapping with keys such as preset",
    ),
    "key twice": (GPT3 + "name: again\n", [], "line 12, name: the key is written twice, first on line 2; keep one"),
    "tab": (edited("  tensor", "\ttensor"), [], "line 6: a tab indents this line, and YAML allows only spaces"),
    "open bracket": (edited("8}", "8"), [], "check indentation, colons, quotes and brackets"),
    "two documents": (GPT3 + "---\nname: b\n", [], "line 12: a second YAML document begins here; keep one scenario"),
    "list instead of keys": ("- a\n- b\n", [], "a scenario is `key: value` lines, and this is a list"),
    "plain text": ("hello\n", [], "a scenario is `key: value` lines, and this is 'hello'"),
    "empty file": ("", [], "the file is empty; write a scenario to start from with `rehearse init"),
    "only a comment": ("# nothing\n", [], "the file is empty"),
    "binary file": (b"\x7fELF\x80\x81\xfe\xff", [], "this is not a text file in UTF-8"),
    "control characters": ("a: \x00\x01\n", [], "line 1: there is a character that YAML does not allow; remove it"),
    "endless nesting": ("a: " + "[" * 200, [], "more than 100 levels of nesting"),
    "alias of itself": ("a: &a [*a]\n", [], "aliases (*name) make this file endless"),
    "python tag": ("a: !!python/name:os.system\n", [], "has no meaning in a scenario; write the plain value"),
    "unknown preset": (
        edited("gpt3_175b", "gpt3_157b"),
        [],
        "model.preset: 'gpt3_157b' is not a preset; did you mean gpt3_175b?",
    ),
    "unknown topology": (
        edited("dgx_a100", "dgx_z100"),
        [],
        "cluster.preset: 'dgx_z100' is not a topology; did you mean",
    ),
    "degrees above the GPUs": (
        edited("pipeline: 8", "pipeline: 16"),
        [],
        "64 GPUs in 8 nodes; use --set plan.pipeline=8",
    ),
    "degrees below the GPUs": (
        GPT3,
        ["plan.data=1", "plan.pipeline=4"],
        "= 32 ranks, and the cluster has 64 GPUs in 8 nodes; use --set plan.data=2",
    ),
    "batch that does not divide": (
        GPT3,
        ["plan.microbatch=7"],
        "64 is not a multiple of microbatch 7 * data 1 = 7; the nearest that work are 63 and 70",
    ),
    "layers that do not divide": (
        GPT3,
        ["plan.pipeline=5", "cluster.nodes=5"],
        "96 layers do not divide into pipeline 5",
    ),
    "heads that do not divide": (
        HSTU,
        ["plan.tensor=16"],
        "16 does not divide heads 4; the nearest tensor degrees that work are 2 and 4",
    ),
    "interleaving without chunks": (GPT3, ["plan.schedule=interleaved_1f1b"], "use --set plan.virtual_stages=2"),
    "buckets with zero 3": (
        GPT3,
        ["plan.zero=3", "plan.bucket_mib=10"],
        "10 has no meaning with zero 3, which reduces block by block; remove bucket_mib",
    ),
    "compression of nothing": (
        GPT3,
        ["plan.compression.method=topk"],
        "topk has no gradient reduction to compress, since data * context is 1",
    ),
    "key of another kind": (
        HSTU,
        ["plan.compression={method: topk, rank: 4}"],
        "method topk has no use for rank; remove it (it takes density, error_feedback, min_bytes)",
    ),
    "table that is not there": (
        HSTU,
        ["plan.embedding_sharding={users: row_wise}"],
        "the model has no table 'users'; its tables are item, user",
    ),
    "unknown profile": (
        GPT3,
        ["profile=a200"],
        "--set profile=a200, profile: 'a200' is not a profile; use one of a100_sxm4_80gb",
    ),
    "profile file missing": (
        GPT3,
        ["profile=no/where.json"],
        "give the path of a file that `rehearse calibrate` wrote",
    ),
    "set without a value": (GPT3, ["plan.tensor"], "write it as key=value, such as --set plan.tensor=8"),
    "set of a typo": (GPT3, ["plan.tenser=4"], "--set plan.tenser=4, plan.tenser: no such key; did you mean tensor?"),
    "set below a number": (
        GPT3,
        ["plan.tensor.degree=4"],
        "plan.tensor is 8, which has no keys; set plan.tensor itself",
    ),
    "not built": (GPT3, ["plan.sync.mode=async"], "plan.sync.mode: async is not supported yet; use synchronous"),
}


def test_there_are_enough_kinds():
    assert len(BAD) >= 45


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_one_sentence_with_a_remedy_and_exit_code_2(rehearse, write, kind):
    text, sets, words = BAD[kind]
    path = write(text)
    options = [word for override in sets for word in ("--set", override)]
    code, out, err = rehearse("simulate", path, *options)
    assert code == 2 and out == ""
    sentence, progress = err.splitlines()
    assert words in sentence, sentence
    assert sentence.startswith("rehearse: ") and progress == f"simulate 1/1: {path} failed"
    for jargon in ("pydantic", "validation error", "http", "Errno", "None", "<class"):
        assert jargon not in sentence


@pytest.mark.parametrize("kind", BAD)
def test_with_json_the_same_sentence_stands_in_the_results_place(rehearse, write, kind):
    text, sets, words = BAD[kind]
    path = write(text)
    options = [word for override in sets for word in ("--set", override)]
    code, out, err = rehearse("simulate", path, "--json", *options)
    assert code == 2 and err == ""
    (line,) = out.splitlines()
    printed = json.loads(line)
    assert set(printed) == {"name", "error"} and set(printed["error"]) == {"kind", "message"}
    assert words in printed["error"]["message"]
    assert printed["error"]["kind"] in ("bad_input", "bad_profile", "not_supported_yet")
    assert isinstance(printed["name"], str) and printed["name"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["simulate"], "Missing argument 'FILE...'; see `rehearse simulate --help`"),
        (["simulat"], "No such command 'simulat'"),
        (["simulate", "a.yaml", "--bogus"], "No such option: --bogus"),
        (["simulate", "no/such/file.yaml"], "there is no such file; check the path"),
        (["simulate", "."], "this is a folder; name the scenario file in it"),
        (["simulate", "a.yaml", "--samples", "-1"], "'-1' is not a whole number of at least 0"),
        (["simulate", "a.yaml", "--samples", "many"], "'many' is not a whole number of at least 0"),
        (["simulate", "a.yaml", "--engine", "warp"], "--engine: 'warp' is not an engine; use simpy or auto"),
        (["simulate", "a.yaml", "--engine", "compiled"], "--engine: engine compiled is not supported yet"),
        (["simulate", "a.yaml", "--engine", "both"], "--engine: engine both is not supported yet"),
        (["simulate", "a.yaml", "b.yaml", "--decisions", "d"], "decisions are one scenario's, and 2 files are given"),
        (["simulate", "a.yaml", "--decisions", "no/such/folder/d"], "there is no folder no/such/folder"),
        (["execute", "a.yaml", "--decisions", "no/such"], "no/such cannot be read (no such file or directory)"),
        (["execute", "a.yaml", "--policies", "dead"], "'dead' is not a way to decide; use live"),
        (["simulate", "a.yaml", "--report", "no/such/folder/r.html"], "there is no folder no/such/folder"),
        (["simulate", "a.yaml", "--report", "."], ". is a folder; give the file's name"),
        (["simulate", "a.yaml", "b.yaml", "--trace", "t.json"], "a trace shows one scenario, and 2 files are given"),
        (["trace", "a.yaml"], "Missing option '--out'"),
        (
            ["trace", "a.yaml", "--out", "t.json", "--format", "kineto"],
            "format kineto is not supported yet; use perfetto",
        ),
        (["trace", "a.yaml", "--out", "t.json", "--format", "xml"], "'xml' is not a format; use perfetto"),
        (["init", "gpt3_175"], "'gpt3_175' is not a preset; did you mean gpt3_175b?"),
        (["show"], "Missing argument"),
        (["show", "profile"], "did you mean profiles?"),
        (["validate", "--source", "nobody"], "nobody"),
        (["plan", "a.yaml", "--gpus", "8"], "plan is not supported yet"),
        (["calibrate", "--import", "csv"], "Option '--import' requires 2 arguments"),
        (["calibrate", "--import", "csv", "no.csv"], "cannot read no.csv"),
        (["calibrate", "--import", "csv", "no.csv", "--onto", "dgx_a100"], "cannot read no.csv"),
        (["calibrate", "--import", "csv", "no.csv", "--missing", "a.yaml"], "leave --missing to another call"),
        (["calibrate", "--onto", "dgx_a100"], "give it with --import"),
        (["calibrate", "--budget", "0"], "too short to measure anything"),
        (["sweep", "s.yaml", "--resume"], "sweep is not supported yet"),
        (["explain", "a.yaml", "b.yaml"], "explain is not supported yet"),
        (["serve", "a.yaml", "--json"], "serve is not supported yet"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_code_2(rehearse, words, said):
    code, out, err = rehearse(*words)
    assert code == 2 and out == ""
    assert said in err.splitlines()[0]
    assert len(err.splitlines()) <= 2


def test_an_unreadable_file_is_a_sentence(rehearse, write, monkeypatch):
    import builtins

    path, real = write(GPT3), open

    def forbidden(file, *arguments, **keywords):  # root may read everything, so the system is asked to refuse here
        if file == path:
            raise PermissionError(13, "Permission denied", file)
        return real(file, *arguments, **keywords)

    monkeypatch.setattr(builtins, "open", forbidden)
    code, _, err = rehearse("simulate", path)
    assert code == 2 and "the file cannot be read (permission denied); check the path and its permissions" in err


def test_a_fault_of_the_simulator_is_a_sentence_and_exit_code_1(rehearse, write, monkeypatch):
    import simulator.simulation

    def broken(*_, **__):
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(simulator.simulation, "simulate", broken)
    code, out, err = rehearse("simulate", write(TINY))
    assert code == 1 and out == ""
    assert "a fault of rehearse itself (ZeroDivisionError: division by zero); set REHEARSE_TRACEBACK=1" in err


def test_a_step_longer_than_the_clock_is_a_sentence(rehearse, write):
    code, _, err = rehearse("simulate", write(TINY), "--set", "model.trunk.seq=9007199254740992")
    assert code == 2 and "times or bytes do not fit 63 bits (292 years in nanoseconds)" in err


def test_what_only_the_simulation_finds_out_has_its_line_too(rehearse, write):
    """Which attention runs is known once profiles are: a ring needs a flash kernel's sums."""
    sets = ("cluster.gpus_per_node=2", "plan.data=1", "plan.context=2", "plan.context_kind=ring")
    flags = [part for one in (*sets, "software.attention=unfused") for part in ("--set", one)]
    code, _, err = rehearse("simulate", write(TINY), *flags)
    assert code == 2 and "--set plan.context_kind=ring, plan.context_kind: ring attention" in err
    assert "use --set software.attention=flash" in err


def test_ctrl_c_says_so_and_exits_130(rehearse, write, monkeypatch):
    import simulator.simulation

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(simulator.simulation, "simulate", interrupted)
    code, out, err = rehearse("simulate", write(TINY))
    assert (code, out, err.splitlines()[-1]) == (130, "", "rehearse: interrupted")
