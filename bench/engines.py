"""``up`` of the client program through the Automation API, on each engine that is there."""

from pathlib import Path

from bench.timing import Times, measure
from bench.world import BUCKET, GROUP, REGION, World
from stacks.automation import Backend, EngineKind, Stacks, official_program
from stacks.client import AreaInputs, ClientProgram, KeyGeneration


class Engines:
    """The engines, on a file backend beside the service's own."""

    def __init__(self, world: World) -> None:
        kinds: tuple[EngineKind, ...] = (
            ("embedded", "official") if official_program() else ("embedded",)
        )
        root = world.data.parent
        self._stacks = {kind: _stacks(kind, root, world) for kind in kinds}

    def measure(self, tag: str, numbers: range, at_once: int) -> dict[str, Times]:
        """Time ``up`` of new stacks; the official program gets fewer runs, as it is slow."""
        results = {}
        for kind, stacks in self._stacks.items():
            stacks.up(ClientProgram(area(f"Warm-{kind}-{tag}")))
            some = numbers if kind == "embedded" else numbers[: 2 * at_once + 1]
            results[f"up {kind}"] = measure(
                lambda n, stacks=stacks, kind=kind: stacks.up(  # type: ignore[misc]
                    ClientProgram(area(f"Up-{kind}-{tag}-{n}"))
                ),
                some,
                at_once=at_once,
            )
        return results


def area(slug: str) -> AreaInputs:
    """Return the inputs of a new area."""
    return AreaInputs(
        client_id=slug,
        slug=slug,
        bucket=BUCKET,
        region=REGION,
        group=GROUP,
        boundary_arn="arn:aws:iam::000000000000:policy/handover-client-boundary",
        profile="hardened",
        keys=(KeyGeneration(1),),
    )


def _stacks(kind: EngineKind, root: Path, world: World) -> Stacks:
    state = root / ("state" if kind == "embedded" else f"state-{kind}")
    state.mkdir(exist_ok=True)
    return Stacks(
        Backend(
            url=f"file://{state}",
            engine=kind,
            environment=world.environment(),
            passphrase="bench",
            work_directory=root / f"work-{kind}",
        )
    )
