"""From YAML files to a ``RunConfig``: ``extends``, then the file, then ``--set a.b=c``, each refused by name.

``extends: ../base.yaml`` (or a list) names files that this one changes, relative to itself. A phase may be
addressed by its name (``phases.train.epochs=3``) or its place (``phases[0].epochs=3``).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ipu_app.config.convert import to_plain, to_section
from ipu_app.config.schema import RunConfig
from ipu_app.files.yaml_file import Word, parse_yaml, read_yaml
from pipelines.door import BadFile, shown

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "configs"  # where a wheel puts them, see setup.py
CONFIGS = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "configs"
MOST_EXTENDED = 50  # files, of one configuration
# those of arXiv 2106.03640's 30 runs, of EfficientNetV2, and Graphcore's later ones for PopTorch
RECIPE_FOLDERS = ("recipes", "recipes_v2", "recipes_poptorch")


def load_config(
    path: Optional[Path],
    overrides: Sequence[str] = (),
    *,
    also: Sequence[Path] = (),
    opens_data: bool = True,
) -> RunConfig:
    """Load a YAML file (None: the defaults), apply ``key=value`` overrides, and check everything.

    ``also`` are files whose values are added on top of the first, before the overrides. A file comes from
    anywhere, so that it can neither name commands nor look into the environment: only an override can.
    ``opens_data=False``: the caller only looks, and lets the commands of a run's own data stand.
    """
    tree: Dict[str, Any] = {}
    for file in [*([path] if path else []), *also]:
        for layer in _layers(file, ()):
            tree = _merged(tree, layer)
    typed = _override_tree(overrides, _phase_names(tree))
    if opens_data:
        _refuse_commands(tree, typed, path)
    return to_section(RunConfig, _merged(tree, typed))


def _phase_names(tree: Mapping[str, Any]) -> List[str]:
    phases = tree.get("phases")
    return list(phases) if isinstance(phases, Mapping) else []


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Dict[str, Any]:
    """Return ``above`` put on ``below``: sections key by key, everything else (lists, too) as a whole."""
    both = dict(below)
    for key, value in above.items():
        old = both.get(key)
        is_section = isinstance(old, Mapping) and isinstance(value, Mapping)
        both[key] = _merged(old, value) if is_section else value  # type: ignore[arg-type]
    return both


def _refuse_commands(tree: Mapping[str, Any], typed: Mapping[str, Any], path: Optional[Path]) -> None:
    """Refuse a file's data that are the output of a command, unless other data were typed."""
    in_file, in_typed = tree.get("data"), typed.get("data", {})
    source = in_file.get("source") if isinstance(in_file, Mapping) else None
    if not isinstance(source, str) or "pipe:" not in source.lower():
        return
    if not isinstance(in_typed, Mapping) or "source" not in in_typed:
        raise ValueError(
            f"data.source={shown(source)!r} in {path}: a file can not start commands; if you know this one, "
            "type it: --data 'pipe:...'"
        )


def recipe_path(name: str) -> Path:
    """Return the file of a recipe by its name (``b2-g16-ln_pn-half``); refuse an unknown one."""
    import difflib

    for folder in (*RECIPE_FOLDERS, "smoke", "."):
        candidate = CONFIGS / folder / f"{name}.yaml"
        if candidate.is_file():
            return candidate
    known = [path.stem for path in recipe_files()]
    near = difflib.get_close_matches(name, known, 3) or known[:3]
    raise ValueError(
        f"run={name!r}: no recipe of that name; near are {', '.join(near)} (all in "
        f"{' and '.join(f'configs/{folder}' for folder in RECIPE_FOLDERS)})"
    )


def recipe_files() -> List[Path]:
    """Return the files of all recipes: arXiv 2106.03640's published runs, then those of EfficientNetV2."""
    return [path for folder in RECIPE_FOLDERS for path in sorted((CONFIGS / folder).glob("*.yaml"))]


def nearest_recipe(model: str, group_size: int, norm: str) -> Path:
    """Return the native-resolution recipe of a model, the one with this group size and norm if any.

    The caller still sets group size and norm. Refuses a model that nobody published a training of.
    """
    files = {path.stem: path for path in recipe_files()}
    for name in (f"{model.lower()}-g{group_size}-{norm}-native", f"{model.lower()}-g16-ln_pn-native"):
        if name in files:
            return files[name]
    raise ValueError(
        f"model={model!r}: no published training to start from; choose b0 to b5, v2-b0 to v2-b3, v2-s, v2-m "
        f"or v2-l, or give --config, "
        f"or --plan with a plan saved by: ipu_app plan --model {model} --save FILE"
    )


def save_config(config: RunConfig, path: Path) -> None:
    """Write the resolved configuration as YAML that ``load_config`` reads back to an equal value."""
    import yaml

    plain = to_plain(config)
    for phase in plain["phases"].values():
        del phase["name"]
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    with draft.open("w", encoding="utf-8") as file:
        file.write(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def _layers(path: Path, seen: Tuple[Path, ...]) -> List[Dict[str, Any]]:
    """Return the file and what it extends as a list of sections, the base first."""
    if path.resolve() in seen:
        raise ValueError(f"extends={path.name}: the files extend each other in a circle")
    if len(seen) > MOST_EXTENDED:
        raise ValueError(f"extends={path.name}: more than {MOST_EXTENDED} files that extend each other")
    if not path.exists():
        raise ValueError(f"config={path}: no such file")
    try:
        section = read_yaml(path)
    except BadFile as error:
        raise BadFile(f"config={error}") from None
    if not isinstance(section, dict) and section is not None:
        raise ValueError(f"config={path}: must hold keys and values, not a list or a single value")
    section = dict(section or {})
    _refuse_interpolation(section, "", path)
    bases = section.pop("extends", None) or []
    layers: List[Dict[str, Any]] = []
    for base in [bases] if isinstance(bases, str) else list(bases)[: MOST_EXTENDED + 1]:
        if not isinstance(base, str):
            raise ValueError(f"config={path}: extends: must be a file's name, or a list of them")
        layers += _layers(path.parent / base, (*seen, path.resolve()))
        if len(layers) > MOST_EXTENDED:
            raise ValueError(f"config={path}: extends more than {MOST_EXTENDED} files")
    return [*layers, section]


def _refuse_interpolation(value: Any, key: str, path: Path) -> None:
    if isinstance(value, str) and "${" in value:
        raise ValueError(
            f"config={path}: {key}={shown(value, 100)!r}: ${{...}} is for the command line only (--set), "
            "not for files"
        )
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        _refuse_interpolation(item, f"{key}.{name}" if key else str(name), path)


def _override_tree(overrides: Sequence[str], phases: Sequence[str]) -> Dict[str, Any]:
    tree: Dict[str, Any] = {}
    for item in _checked(overrides):
        key, _, text = _name_phase(item, phases or ["train"]).partition("=")
        try:
            value = _resolved(parse_yaml(text, f"--set {item}"))
        except BadFile as error:
            raise ValueError(str(error)) from None
        for name in reversed(key.strip().split(".")):
            value = {name: value}
        tree = _merged(tree, value)
    return tree


def _resolved(value: Any) -> Any:
    """Return a typed value with its ``${oc.env:NAME}`` filled in."""
    if isinstance(value, dict):
        return {key: _resolved(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        found = OmegaConf.to_container(OmegaConf.create({"value": str(value)}), resolve=True)
    except OmegaConfBaseException as error:
        raise BadFile(f"{shown(value)}: {shown(str(error).strip().splitlines()[0])}") from None
    return Word(found["value"])


def _checked(overrides: Sequence[str]) -> List[str]:
    seen: Dict[str, str] = {}
    for item in overrides:
        key, equals, _ = item.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"--set {item}: must be key=value, for instance phases.train.epochs=3")
        if key in seen:
            raise ValueError(f"--set {key}: given twice ({seen[key]} and {item})")
        seen[key] = item
    return list(overrides)


def _name_phase(item: str, phases: Sequence[str]) -> str:
    """Turn ``phases[0].x=1`` into ``phases.train.x=1``, so that it merges with the named sections.

    A misspelt name would add a phase of default settings to the run: it is refused.
    """
    match = re.match(r"phases\[(\d+)\]", item)
    if not match:
        named = re.match(r"phases\.([^.=]+)\.", item)
        if named and named.group(1) not in phases:
            raise ValueError(f"--set {item}: no phase of that name; this run has {', '.join(phases)}")
        return item
    index = int(match.group(1))
    if index >= len(phases):
        count = "there is 1 phase" if len(phases) == 1 else f"there are {len(phases)} phases"
        raise ValueError(f"--set {item}: {count} ({', '.join(phases)})")
    return f"phases.{phases[index]}{item[match.end() :]}"
