"""From YAML files to a ``RunConfig``: ``extends``, then the file, then ``--set a.b=c``, each refused by name.

``extends: ../base.yaml`` (or a list) names files that this one changes, relative to itself. A phase may be
addressed by its name (``phases.train.epochs=3``) or its place (``phases[0].epochs=3``).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ipu_app.config.convert import to_plain, to_section
from ipu_app.config.schema import RunConfig

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "configs"  # where a wheel puts them, see setup.py
CONFIGS = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "configs"


def load_config(
    path: Optional[Path], overrides: Sequence[str] = (), *, also: Sequence[Path] = ()
) -> RunConfig:
    """Load a YAML file (None: the defaults), apply ``key=value`` overrides, and check everything.

    ``also`` are files whose values are added on top of the first, before the overrides.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    merged = OmegaConf.create({})
    for file in [*([path] if path else []), *also]:
        for layer in _layers(file, ()):
            merged = OmegaConf.merge(merged, layer)
    try:
        merged = OmegaConf.merge(merged, _override_tree(overrides, list(merged.get("phases", {}) or {})))
        plain = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        raise ValueError(f"configuration: {_first_line(error)}") from error
    return to_section(RunConfig, plain)


def recipe_path(name: str) -> Path:
    """Return the file of a recipe by its name (``b2-g16-ln_pn-half``); refuse an unknown one."""
    import difflib

    for folder in ("recipes", "smoke", "."):
        candidate = CONFIGS / folder / f"{name}.yaml"
        if candidate.is_file():
            return candidate
    known = sorted(p.stem for p in (CONFIGS / "recipes").glob("*.yaml"))
    near = difflib.get_close_matches(name, known, 3) or known[:3]
    raise ValueError(
        f"run={name!r}: no recipe of that name; near are {', '.join(near)} (all in configs/recipes)"
    )


def nearest_recipe(model: str, group_size: int, norm: str) -> Path:
    """Return the published native-resolution recipe of a model, the one with this group size and norm if any.

    The caller still sets group size and norm. Refuses a model that nobody published a training of.
    """
    folder = CONFIGS / "recipes"
    for name in (f"{model}-g{group_size}-{norm}-native", f"{model}-g16-ln_pn-native"):
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    raise ValueError(
        f"model={model!r}: no published training to start from; choose b0 to b5, or give --config, "
        f"or --plan with a plan saved by: ipu_app plan --model {model} --save FILE"
    )


def save_config(config: RunConfig, path: Path) -> None:
    """Write the resolved configuration as YAML that ``load_config`` reads back to an equal value."""
    from omegaconf import OmegaConf

    plain = to_plain(config)
    for phase in plain["phases"].values():
        del phase["name"]
    path.write_text(OmegaConf.to_yaml(OmegaConf.create(plain)), encoding="utf-8")


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _layers(path: Path, seen: Tuple[Path, ...]) -> List[Any]:
    """Return the file and what it extends as a list of OmegaConf nodes, the base first."""
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if path.resolve() in seen:
        raise ValueError(f"extends={path.name}: the files extend each other in a circle")
    if not path.is_file():
        raise ValueError(f"config={path}: no such file")
    try:
        node = OmegaConf.load(path)
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise ValueError(f"config={path}: {_yaml_problem(error)}") from error
    if not OmegaConf.is_dict(node):
        raise ValueError(f"config={path}: must hold keys and values, not a list or a single value")
    bases = node.pop("extends", [])
    layers: List[Any] = []
    for base in [bases] if isinstance(bases, str) else list(bases):
        layers += _layers(path.parent / base, (*seen, path.resolve()))
    return [*layers, node]


def _yaml_problem(error: BaseException) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f" (line {mark.line + 1})" if mark else ""
    return f"{getattr(error, 'problem', None) or _first_line(error)}{where}"


def _override_tree(overrides: Sequence[str], phases: Sequence[str]) -> Any:
    import yaml
    from omegaconf import OmegaConf

    tree = OmegaConf.create({})
    for item in _checked(overrides):
        try:
            tree.merge_with_dotlist([_name_phase(item, phases or ["train"])])
        except yaml.YAMLError as error:
            raise ValueError(f"--set {item}: {_yaml_problem(error)}") from error
    return tree


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
