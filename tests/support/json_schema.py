"""Checks values against the part of JSON Schema that our OpenAPI description uses, and nothing else."""

import re
from collections.abc import Mapping
from typing import Any

KEYWORDS = {
    "$ref", "type", "properties", "required", "additionalProperties", "items", "enum", "oneOf", "pattern", "format",
    "minLength", "maxLength", "maxProperties", "minimum", "contentEncoding", "description",
}  # fmt: skip
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


class SchemaChecker:
    """Resolves references within one document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a reference stands for."""
        assert schema.keys() <= KEYWORDS, schema.keys() - KEYWORDS
        if "$ref" not in schema:
            return schema
        found: Any = self._document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return self.resolve(found)

    def problems(self, schema: Mapping[str, Any], value: Any, where: str = "$") -> list[str]:
        """What is wrong with a value."""
        schema = self.resolve(schema)
        if "oneOf" in schema:
            fitting = [option for option in schema["oneOf"] if not self.problems(option, value, where)]
            return [] if len(fitting) == 1 else [f"{where} fits {len(fitting)} of the options"]
        if "enum" in schema and value not in schema["enum"]:
            return [f"{where} is {value!r}, none of the enum"]
        found = _problems_of_type(schema, value, where)
        if found:
            return found
        if isinstance(value, dict):
            return self._object_problems(schema, value, where)
        if isinstance(value, list):
            return [
                found for i, item in enumerate(value) for found in self.problems(schema["items"], item, f"{where}[{i}]")
            ]
        return []

    def _object_problems(self, schema: Mapping[str, Any], value: Mapping[str, Any], where: str) -> list[str]:
        found = [f"{where}.{name} is missing" for name in schema.get("required", ()) if name not in value]
        properties, more = schema.get("properties", {}), schema.get("additionalProperties", True)
        for name, item in value.items():
            if name in properties:
                found += self.problems(properties[name], item, f"{where}.{name}")
            elif isinstance(more, dict):
                found += self.problems(more, item, f"{where}.{name}")
            elif "properties" in schema:
                # Schemas of the contract allow fields of newer servers; in what we know, none may be unknown.
                found.append(f"{where}.{name} is not described")
        return found


def _problems_of_type(schema: Mapping[str, Any], value: Any, where: str) -> list[str]:
    kind = schema.get("type")
    if kind is not None and (not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) != (kind == "boolean"))):
        return [f"{where} is {value!r}, no {kind}"]
    if "pattern" in schema and re.search(schema["pattern"], value) is None:
        return [f"{where} is {value!r}, unlike {schema['pattern']}"]
    return []
