"""How long, and with how much memory, 500 stories train: `python bench/stories.py [--stories 500] [--epochs 100]`.

The stories are drawn from a seed: 60 intents, 80 actions, 10 slots, 3 to 7 messages each, without contradictions. They
train with the policies of a `rasa init` project, TEDPolicy and UnexpecTEDIntentPolicy with their usual augmentation.
Wanted on two cores: under 60 s and 1 GB.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bot.domain import Domain, IntentSpec, SlotSpec
from bot.policies.memoization_policy import MemoizationPolicy
from bot.policies.rule_policy import RulePolicy
from bot.policies.ted_policy import TEDPolicy
from bot.policies.unexpec_ted_intent_policy import UnexpecTEDIntentPolicy
from bot.training_data import ActionStep, SlotStep, Story, UserStep

INTENTS = [f"intent_{number}" for number in range(60)]
ACTIONS = [f"utter_{number}" for number in range(80)]
SLOTS = [f"slot_{number}" for number in range(10)]
DOMAIN = Domain(
    intents={name: IntentSpec(name) for name in INTENTS},
    slots={name: SlotSpec(name, "bool") for name in SLOTS},
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stories", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--max-history", type=int, default=5, help="0: all states")
    given = parser.parse_args()
    stories = drawn(given.stories, random.Random(1))
    network: dict[str, Any] = {"epochs": given.epochs, "max_history": given.max_history or None}
    policies = (MemoizationPolicy(), RulePolicy(), UnexpecTEDIntentPolicy(**network), TEDPolicy(**network))
    began = time.perf_counter()

    def train(policy: Any) -> float:
        policy.train(stories, (), DOMAIN)
        return time.perf_counter() - began

    # Beside each other, as `frontdesk train` does.
    with ThreadPoolExecutor() as pool:
        for policy, took in zip(policies, pool.map(train, policies), strict=True):
            print(f"{type(policy).__name__:28}{took:8.1f} s")
    total = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{f'{given.stories} stories':28}{total:8.1f} s (wanted: under 60 s), {peak:.0f} MB (wanted: under 1000 MB)")


def drawn(count: int, draw: random.Random) -> list[Story]:
    """Stories in which the same action follows the same action and intent."""
    follows = {(action, intent): draw.choice(ACTIONS) for action in ["", *ACTIONS] for intent in INTENTS}
    stories = []
    for number in range(count):
        action, steps = "", []
        for _ in range(draw.randint(3, 7)):
            intent = draw.choice(INTENTS)
            steps.append(UserStep(intent))
            if draw.random() < 0.2:
                steps.append(SlotStep(draw.choice(SLOTS), True))
            for _ in range(draw.choice((1, 1, 2))):
                action = follows[action, intent]
                steps.append(ActionStep(action))
        stories.append(Story(f"story {number}", tuple(steps)))
    return stories


if __name__ == "__main__":
    main()
