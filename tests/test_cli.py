"""The command line, as a person types it: what it says, and with which exit code."""

from __future__ import annotations

import io
import json
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot import cli

SHOP = {
    "config.yml": """
domains: []
pipeline: [{name: KeywordIntentClassifier}]
policies: [{name: RulePolicy}]
store: memory
""",
    "domain.yml": """
intents: [greet, bye]
responses:
  utter_greet: [{text: Hello from the shop.}]
  utter_bye: [{text: So long.}]
""",
    "data/all.yml": """
nlu:
- {intent: greet, examples: "- hello"}
- {intent: bye, examples: "- so long"}
rules:
- {rule: greet, steps: [{intent: greet}, {action: utter_greet}]}
- {rule: bye, steps: [{intent: bye}, {action: utter_bye}]}
""",
    "tests/shop.yml": """
nlu:
- {intent: greet, examples: "- hello there"}
conversations:
- {name: short, steps: [{user: hello}, {bot: Hello}]}
""",
}
VERBS = ("init", "train", "run", "shell", "parse", "test", "validate", "certify", "interactive", "visualize")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project; one stands in its folder."""
    for name, text in SHOP.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """`run("train", "nlu")` in this process → exit code, what it printed, and its errors."""
    monkeypatch.setenv("COLUMNS", "200")

    def main(*words: str, said: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["frontdesk", *words])
        monkeypatch.setattr(sys, "stdin", io.StringIO(said))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    yield main
    logging.getLogger("bot").setLevel(logging.NOTSET)


def errors(answer: tuple[int, str, str]) -> list[str]:
    """The lines of what went wrong; anything else than that and exit code 2 is a failure."""
    code, _, err = answer
    assert code == 2
    assert "Traceback" not in err
    return [line for line in err.splitlines() if line.startswith("error: ")]


# ---- help ----


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb_teaches_with_an_example(run: Run, verb: str) -> None:
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert f"Example: frontdesk {verb}" in out
    assert "--debug" in out


def test_the_help_lists_the_verbs_and_says_how_to_begin(run: Run) -> None:
    for words in (["--help"], []):
        _, out, _ = run(*words)
        assert all(f" {verb} " in out for verb in VERBS)
        assert "Start with frontdesk init my-bank" in out


def test_the_version_is_told(run: Run) -> None:
    assert run("--version")[:2] == (0, "frontdesk 0.1.0\n")


# ---- a new project ----


def test_init_makes_a_project_that_is_valid(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("init", str(tmp_path / "bank"))
    assert code == 0
    assert f"cd {tmp_path / 'bank'}\n    frontdesk run" in out
    assert run("validate", "--project", str(tmp_path / "bank"))[:2] == (0, "No mistakes found, 0 warnings.\n")


def test_init_overwrites_nothing(run: Run, shop: Path) -> None:
    (message,) = errors(run("init", str(shop)))
    assert "is not empty: name a new folder" in message
    (message,) = errors(run("init", "config.yml"))
    assert "'config.yml' is not empty" in message
    (message,) = errors(run("init", "config.yml/below"))
    assert "'config.yml/below' cannot be written: Not a directory" in message


def test_init_suggests_the_pack_that_was_meant(run: Run, tmp_path: Path) -> None:
    (message,) = errors(run("init", str(tmp_path / "a"), "--pack", "bankin"))
    assert message == "error: there is no pack called 'bankin'. Did you mean 'banking'?"
    assert not (tmp_path / "a").exists()


# ---- what the verbs do ----


def test_train_does_nothing_the_second_time(run: Run, shop: Path) -> None:
    code, first, _ = run("train")
    assert (code, first.startswith("The model is models/")) == (0, True)
    model = first.split()[-1]
    assert run("train")[:2] == (0, f"Nothing has changed: the model is {model}\n")
    assert run("train", "--force")[:2] == (0, f"The model is {model}\n")


def test_a_project_elsewhere_is_named(
    run: Run, shop: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert run("train", "--project", str(shop))[0] == 0
    assert run("parse", "hello", "--project", str(shop))[0] == 0


def test_parse_shows_what_is_understood(run: Run, shop: Path) -> None:
    code, out, err = run("parse", "hello")
    assert (code, json.loads(out)["intent"]) == (0, {"name": "greet", "confidence": 1.0})
    assert err.startswith("There is no model for the present data yet: training.\n")
    assert run("parse", "hello")[2] == ""


def test_shell_talks_until_it_is_stopped(run: Run, shop: Path) -> None:
    assert run("shell", said="hello\n/bye\n/stop\nhello\n")[:2] == (0, "Hello from the shop.\nSo long.\n")
    assert run("shell", said="hello")[:2] == (0, "Hello from the shop.\n")


def test_shell_nlu_shows_what_is_understood(run: Run, shop: Path) -> None:
    _, out, _ = run("shell", "nlu", said="so long\n/stop\n")
    assert json.loads(out)["intent"]["name"] == "bye"


def test_debug_logs_each_decision_wherever_it_stands(run: Run, shop: Path, caplog: pytest.LogCaptureFixture) -> None:
    for words in (["--debug", "shell"], ["shell", "--debug"], ["shell", "-v"], ["shell", "-vv"]):
        caplog.clear()
        assert run(*words, said="hello\n")[0] == 0
        assert ": utter_greet (RulePolicy, 1.00)" in caplog.text
        logging.getLogger("bot").setLevel(logging.NOTSET)
    caplog.clear()
    run("shell", said="hello\n")
    assert caplog.text == ""


def test_tests_that_pass_and_fail_differ_in_the_exit_code(run: Run, shop: Path) -> None:
    code, out, _ = run("test")
    assert (code, out.splitlines()[-1]) == (0, "stories: 0; conversations: 1; failed: 0")
    (shop / "tests/shop.yml").write_text(SHOP["tests/shop.yml"].replace("bot: Hello", "bot: Bye"))
    code, out, _ = run("test")
    assert code == 1
    assert "failed: tests/shop.yml:5: 'short': no reply has 'Bye'; there is: Hello from the shop." in out
    assert run("test", "nlu")[:2] == (0, "understanding: 1 of 1 messages (100.0%)\n")
    assert run("test", "core")[0] == 1


def test_validate_says_so_when_nothing_is_wrong(run: Run, shop: Path) -> None:
    for words in (["validate"], ["data", "validate"]):
        assert run(*words)[:2] == (0, "No mistakes found, 0 warnings.\n")


def test_validate_ends_with_2_when_something_is_wrong(run: Run, shop: Path) -> None:
    domain = (shop / "domain.yml").read_text()
    (shop / "domain.yml").write_text(domain + "actions: [action_pay]\n")
    code, out, err = run("validate")
    assert (code, err) == (2, "1 error, 0 warnings.\n")
    assert out == "error: domain.yml:6: nobody has written the action 'action_pay'.\n"


# ---- what goes wrong ----


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "config.yml",
            "domains: []\npipelin: []\n",
            "config.yml:2: there is no setting called 'pipelin'. Did you mean",
        ),
        (
            "config.yml",
            "domains: []\npipeline: DIET\n",
            "config.yml:2: 'pipeline' of config.yml must be a list, not the",
        ),
        ("config.yml", "domains: [\n", "config.yml:2: this is not YAML"),
        ("domain.yml", "intents: 5\n", "domain.yml:1: 'intents' of the domain must be a list, not the number 5"),
    ],
)
@pytest.mark.parametrize("verb", ["train", "run", "shell", "test", "validate"])
def test_a_mistake_in_a_file_is_a_line_with_its_place(
    run: Run, shop: Path, verb: str, name: str, text: str, message: str
) -> None:
    (shop / name).write_text(text)
    assert any(line.startswith(f"error: {message}") for line in errors(run(verb)))


def test_many_mistakes_are_as_many_lines_and_a_sum(run: Run, shop: Path) -> None:
    (shop / "config.yml").write_text("domains: [x]\nseed: a\nlanguges: b\n")
    code, _, err = run("train")
    assert code == 2
    assert [line.split(": ")[1] for line in err.splitlines()[:3]] == ["config.yml:1", "config.yml:2", "config.yml:3"]
    assert err.splitlines()[-1].endswith(" mistakes in the project.")


@pytest.mark.parametrize("verb", ["train", "run", "shell", "test", "validate"])
def test_where_there_is_no_project_it_is_said_what_to_do(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (message,) = errors(run(verb))
    assert message.startswith("error: there is no config.yml in '.': this is no project.")
    (message,) = errors(run(verb, "--project", "nowhere"))
    assert message == "error: there is no folder 'nowhere'"


def test_a_folder_that_cannot_be_read_is_a_line(run: Run, shop: Path) -> None:
    (shop / "models").write_text("")
    assert errors(run("train")) == ["error: 'models' cannot be written: File exists"]
    (shop / "config.yml").unlink()
    (shop / "config.yml").mkdir()
    assert errors(run("train"))[0].startswith("error: there is no config.yml in '.'")


def test_a_damaged_model_is_a_line_that_says_what_to_do(run: Run, shop: Path) -> None:
    run("train")
    rules = next(shop.rglob("rules.json"))
    rules.write_bytes(b"")
    for verb in ("run", "shell", "test"):
        (message,) = errors(run(verb))
        assert message.endswith("rules.json is missing or was changed. Run: frontdesk train --force")
    run("train", "--force")
    assert run("test")[0] == 0


def test_a_module_of_actions_that_breaks_is_a_line(run: Run, shop: Path) -> None:
    (shop / "actions.py").write_text("import os\nraise ValueError('no money')\n")
    for verb in ("run", "shell", "test"):
        (message,) = errors(run(verb))
        assert message == "error: actions.py:2: 'actions' cannot be imported: ValueError: no money"


def test_a_fault_of_ours_is_a_line_and_a_traceback_with_debug(
    run: Run, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.project.load_config", lambda *_, **__: 1 / 0)
    (message,) = errors(run("train"))
    assert message.startswith("error: ZeroDivisionError: division by zero. This is a fault of Frontdesk's: run it with")
    monkeypatch.setattr(sys, "argv", ["frontdesk", "train", "--debug"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_ctrl_c_in_training_ends_without_a_word(run: Run, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bot.training.train", interrupted)
    code, out, err = run("train")
    assert (code, out, "Traceback" in err) == (130, "", False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'? See: frontdesk --help"),
        (
            ["train", "--forse"],
            "No such option: --forse (Possible options: --force, --verbose). See: frontdesk train --help",
        ),
        (["train", "nlp"], "'frontdesk train nlp' is not known. Did you mean 'nlu'?"),
        (["test", "nlp"], "'frontdesk test nlp' is not known. Did you mean 'nlu'?"),
        (["shell", "core"], "'frontdesk shell core' is not known. Known: nlu."),
        (["run", "bot"], "No such command 'bot'. See: frontdesk run --help"),
        (["run", "--port", "many"], "Invalid value for '--port' / '-p': "),
        (["parse"], "Missing argument 'text'. See: frontdesk parse --help"),
        (["run", "-m", "nowhere"], "there is no model folder 'nowhere'. Run: frontdesk train"),
    ],
)
def test_what_is_mistyped_is_one_line(run: Run, shop: Path, words: list[str], message: str) -> None:
    (found,) = errors(run(*words))
    assert found.startswith(f"error: {message}")


# ---- as in rasa ----


@pytest.mark.parametrize("what", ["nlu", "core"])
def test_rasas_halves_of_training_train_everything(run: Run, shop: Path, what: str) -> None:
    assert run("train", what)[0] == 0
    assert run("test", what)[0] == 0


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (
            ["run", "--cors", "https://a.example", "https://b.example"],
            "--cors https://a.example --cors https://b.example",
        ),
        (["run", "--use-syslog"], "The log can go to a file: --log-file bot.log"),
        (["train", "--data", "data", "-d", "domain.yml"], "name it with --project."),
        (["train", "--out", "models"], "Models are kept in models/ in the project's folder."),
        (["train", "--stories", "data"], "name it with --project."),
        (["init", "--no-prompt"], "nothing is asked: frontdesk init my-bank"),
    ],
)
def test_what_rasa_has_and_we_have_not_is_a_line_with_what_to_do(
    run: Run, shop: Path, words: list[str], advice: str
) -> None:
    (message,) = errors(run(*words))
    assert message.endswith(advice)


def test_rasas_way_to_serve_is_understood(run: Run, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served: dict[str, object] = {}
    monkeypatch.setattr("bot.app.serve", lambda assistant, channels, **options: served.update(options))
    assert run("train")[0] == 0
    code, _, err = run("run", "--enable-api", "--cors", "*", "-p", "5006", "-m", "models", "-t", "secret", "--debug")
    assert (code, err) == (0, "")
    assert (served["port"], served["cors"], served["enable_api"], served["auth_token"]) == (5006, ["*"], True, "secret")


# ---- as a process ----


@pytest.fixture
def start(shop: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`start("run")` → the process, which ends with the test."""
    processes: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "bot.cli", *words]
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=shop))
        return processes[-1]

    yield begin
    for process in processes:
        with process:
            process.kill()


def test_a_second_start_trains_nothing_and_ctrl_c_ends_both(start: Callable[..., subprocess.Popen[str]]) -> None:
    trained = []
    for _ in range(2):
        process = start("run", "--port", "0")
        assert process.stdout
        assert process.stdout.readline().startswith("Frontdesk is ready at http://localhost:")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert (process.returncode, "Traceback" in err) == (0, False)
        trained.append("training" in err)
    assert trained == [True, False]


def test_a_port_in_use_is_one_line(start: Callable[..., subprocess.Popen[str]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("run", "--port", str(taken.getsockname()[1]))
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (2, "")
    assert [line for line in err.splitlines() if line.startswith("error: ")] == err.splitlines()[-1:]
    assert " is in use by another program" in err


def test_a_reader_that_leaves_early_is_no_error(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("shell")
    assert process.stdout
    assert process.stdin
    process.stdout.close()
    process.stdin.write("hello\n" * 3)
    process.stdin.close()
    assert process.wait(20) == 1
    assert process.stderr
    assert "rror" not in process.stderr.read()
