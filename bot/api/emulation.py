"""Parse results in the shapes of other services, for callers that were written for those. The shapes are Rasa's."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from bot.messages import Entity, Parse


def wit(parse: Parse) -> dict[str, Any]:
    """https://wit.ai/docs/http/20200513/#get__message_link"""
    entities: dict[str, list[dict[str, Any]]] = {}
    for entity in parse.entities:
        role = entity.role or entity.entity
        entities.setdefault(f"{entity.entity}:{role}", []).append(
            {
                "confidence": entity.confidence or 1,
                "name": entity.entity,
                "value": entity.value,
                "body": parse.text[entity.start : entity.end],
                "start": entity.start,
                "end": entity.end,
                "role": role,
                "entities": [],
            }
        )
    return {"text": parse.text, "intents": [parse.intent.to_json()], "entities": entities}


def luis(parse: Parse) -> dict[str, Any]:
    """The prediction endpoint of LUIS, version 3.0."""
    ranking = parse.intent_ranking or [parse.intent]
    entities: dict[str, Any] = {"$instance": {}}
    for entity in parse.entities:
        # As in Rasa, of several entities of a name the last one counts.
        entities[entity.role or entity.entity] = [entity.value]
        entities["$instance"][entity.role or entity.entity] = [_instance(entity)]
    return {
        "query": parse.text,
        "prediction": {
            "normalizedQuery": parse.text,
            "topIntent": parse.intent.name,
            "intents": {intent.name or "null": {"score": intent.confidence} for intent in ranking},
            "entities": entities,
        },
    }


def _instance(entity: Entity) -> dict[str, Any]:
    return {
        "role": entity.role,
        "type": entity.entity,
        "text": entity.value,
        "startIndex": entity.start,
        "length": entity.end - entity.start,
        "score": entity.confidence,
        "modelType": entity.extractor,
    }


def dialogflow(parse: Parse) -> dict[str, Any]:
    """https://cloud.google.com/dialogflow/es/docs/reference/rest/v2/DetectIntentResponse"""
    parameters: dict[str, list[Any]] = {}
    for entity in parse.entities:
        parameters.setdefault(entity.entity, []).append(entity.value)
    return {
        "responseId": str(uuid.uuid4()),
        "queryResult": {
            "queryText": parse.text,
            "action": parse.intent.name,
            "parameters": parameters,
            "fulfillmentText": "",
            "fulfillmentMessages": [],
            "outputContexts": [],
            "intent": {"name": parse.intent.name, "displayName": parse.intent.name},
            "intentDetectionConfidence": parse.intent.confidence,
        },
    }


EMULATORS: Mapping[str, Callable[[Parse], dict[str, Any]]] = {"WIT": wit, "LUIS": luis, "DIALOGFLOW": dialogflow}
