"""values.schema.json without helm: it is a schema, takes what it should and refuses the rest."""

import unittest

import jsonschema

import chart
import nonsense


def properties(schema, path=""):
    """(path, schema) of everything that may be given, the definitions included."""
    for name, sub in schema.get("properties", {}).items():
        yield f"{path}/{name}", sub
        yield from properties(sub, f"{path}/{name}")
    for name, sub in schema.get("definitions", {}).items():
        yield f"#/{name}", sub
        yield from properties(sub, f"#/{name}")


class SchemaTest(unittest.TestCase):

    def setUp(self):
        self.schema = chart.schema()
        self.validator = jsonschema.Draft7Validator(self.schema)

    def errors(self, values):
        merged = chart.merged(chart.merged(chart.defaults(), chart.MODEL), values)
        return {"/" + "/".join(str(part) for part in error.absolute_path): error.message
                for error in self.validator.iter_errors(merged)}

    def test_it_is_a_schema(self):
        jsonschema.Draft7Validator.check_schema(self.schema)

    def test_the_defaults_and_every_example_conform(self):
        self.assertEqual(self.errors({}), {})
        self.assertGreaterEqual(len(chart.EXAMPLES), 4)
        for path in chart.EXAMPLES:
            with self.subTest(path.name):
                self.assertEqual(self.errors(chart.read_yaml(path)), {})

    def test_nonsense_is_refused_where_it_is(self):
        for name, values, where, _ in nonsense.SCHEMA:
            with self.subTest(name):
                found = self.errors(values)
                parent = where.rpartition("/")[0] or "/"
                self.assertTrue(any(path.startswith(where) or path == parent for path in found),
                                f"expected a fault at {where} or in {parent}, found {found}")

    def test_what_only_the_templates_can_refuse_passes_the_schema(self):
        for name, values, _ in nonsense.CHECKS:
            with self.subTest(name):
                self.assertEqual(self.errors(values), {})

    def test_every_default_is_in_the_schema_and_the_reverse(self):
        self.compare_keys(chart.defaults(), self.schema, "")

    def compare_keys(self, values, schema, path):
        if "$ref" in schema:
            schema = self.schema["definitions"][schema["$ref"].rpartition("/")[2]]
        if schema.get("additionalProperties", True) is not False or not isinstance(values, dict):
            return
        known = set(schema["properties"])
        if not path:  # what parent charts give
            known -= {"global", "enabled"}
        if path.endswith(("/affinity", "/resources")):  # Kubernetes' own, empty by default
            return
        self.assertEqual(set(values), known, f"values.yaml and the schema differ at {path or '/'}")
        for key, value in values.items():
            self.compare_keys(value, schema["properties"][key], f"{path}/{key}")

    def test_a_section_may_not_be_null(self):
        """helm takes keys away that are null, and templates ask for what is in a section. Lists, maps
        of the user's own and numbers may be null: nothing of it."""
        self.check_sections(self.schema, "")

    def check_sections(self, schema, path):
        for name, sub in schema.get("properties", {}).items():
            closed = self.schema["definitions"][sub["$ref"].rpartition("/")[2]] if "$ref" in sub else sub
            if closed.get("additionalProperties") is False and name not in (
                    "affinity", "resources", "rollingUpdate"):
                self.assertIn(name, schema.get("required", []), path)
            if closed is sub:
                self.check_sections(sub, f"{path}/{name}")

    def test_every_property_is_explained_and_closed(self):
        for path, sub in properties(self.schema):
            if set(sub) == {"$ref"}:
                self.assertIn(sub["$ref"].rpartition("/")[2], self.schema["definitions"], path)
                continue
            with self.subTest(path):
                self.assertIn("description", sub)
                if "properties" in sub:
                    self.assertIs(sub.get("additionalProperties"), False)


if __name__ == "__main__":
    unittest.main()
