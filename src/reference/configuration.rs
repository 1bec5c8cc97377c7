//! The reference of the configuration, and its schema for editors.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{documents, keep, keep_part};
use crate::config::{parse, schema};

#[test]
fn the_reference_is_what_the_types_say() {
    keep_part("docs/configuration.md", &Reference::new().text());
}

#[test]
fn the_schema_is_what_the_types_say() {
    let schema = serde_json::to_string_pretty(&schema::schema()).unwrap();
    keep("docs/configuration.schema.json", &(schema + "\n"));
}

#[test]
fn every_example_of_an_option_is_taken() {
    let reference = Reference::new();
    let pair = json!([{"nodeName": "a"}, {"nodeName": "b"}]);
    for (level, option, schema) in reference.all() {
        let example = example_of(schema).unwrap_or_else(|| panic!("{option} has no example"));
        let file = match (level, option) {
            ("file", "mutualPeers") => json!({option: example}),
            ("group", "peers") => json!({"mutualPeers": [{option: example}]}),
            ("peer", "nodeName") => json!({"mutualPeers": [{"peers": [{option: example}]}]}),
            ("group", _) => json!({"mutualPeers": [{"peers": pair, option: example}]}),
            _ => json!({"mutualPeers": [{"peers": pair}], option: example}),
        };
        parse(&file.to_string()).unwrap_or_else(|problems| panic!("{file}: {problems}"));
    }
}

#[test]
fn every_configuration_that_is_shown_is_taken() {
    for (name, text) in documents() {
        for block in text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            if block.starts_with("mutualPeers:") {
                parse(block).unwrap_or_else(|problems| panic!("{name}: {problems}\n{block}"));
            }
        }
    }
}

/// The schema, read.
struct Reference {
    schema: Value,
    defaults: Value,
}

impl Reference {
    fn new() -> Self {
        Self { schema: schema::schema().to_value(), defaults: schema::defaults() }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (level, option, schema) in self.all() {
            let of = format!("### `{option}`\n\n{}\n\n", describe(schema));
            text += &of;
            let kind = self.kind(schema);
            let default = self.default_of(level, option, schema);
            writeln!(text, "*{kind}. Where: {level}. {default}*\n").unwrap();
            self.fields(&mut text, option, schema);
            if let Some(example) = example_of(schema) {
                writeln!(text, "```yaml\n{option}: {}\n```\n", flow(example)).unwrap();
            }
        }
        text
    }

    /// Every option, with where it may stand: first what each level has for itself, then what all have.
    fn all(&self) -> Vec<(&'static str, &str, &Value)> {
        let [file, group, peer] =
            [&self.schema, self.definition("Group"), self.definition("Peer")].map(properties);
        let is_shared = |name: &String| file.contains_key(name) && peer.contains_key(name);
        let levels = [("file", file), ("group", group), ("peer", peer)];
        let own = levels.into_iter().flat_map(|(level, fields)| {
            fields
                .iter()
                .filter(|(name, _)| !is_shared(name))
                .map(move |(name, schema)| (level, name.as_str(), schema))
        });
        let shared = file.iter().filter(|(name, _)| is_shared(name));
        own.chain(shared.map(|(name, schema)| ("file, group, peer", name.as_str(), schema))).collect()
    }

    fn definition(&self, name: &str) -> &Value {
        &self.schema["$defs"][name]
    }

    /// What a reference stands for; of an option, what it is where it is not left out.
    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        if let Some(name) = schema["$ref"].as_str() {
            return self.definition(name.trim_start_matches("#/$defs/"));
        }
        match schema["anyOf"].as_array().map(Vec::as_slice) {
            Some([one, null]) if null["type"] == "null" => self.resolved(one),
            _ => schema,
        }
    }

    /// The type, in words.
    fn kind(&self, schema: &Value) -> String {
        let schema = self.resolved(schema);
        let name = match &schema["type"] {
            Value::Array(names) => names[0].as_str(),
            name => name.as_str(),
        };
        match name {
            Some("string") => "Text".into(),
            Some("integer") => "Whole number".into(),
            Some("boolean") => "`true` or `false`".into(),
            Some("array") => "List".into(),
            Some("object") => "Fields".into(),
            _ => panic!("a type without a word for it: {schema}"),
        }
    }

    fn default_of(&self, level: &str, option: &str, schema: &Value) -> String {
        match self.defaults.get(option) {
            Some(default) => format!("Default: `{}`", flow(default)),
            None if level == "file, group, peer" || schema["type"].to_string().contains("null") => {
                "Optional".into()
            }
            None => "Required".into(),
        }
    }

    /// The fields, the values and the forms of an option, as a table.
    fn fields(&self, text: &mut String, option: &str, schema: &Value) {
        let mut rows = Vec::new();
        let schema = self.resolved(schema);
        match &schema["items"] {
            Value::Null => self.rows_of_fields(option, schema, &mut rows),
            items if option == "probe" => self.rows_of_forms("", items, &mut rows),
            _ => return,
        }
        if rows.is_empty() {
            return;
        }
        writeln!(text, "| | default | |\n|---|---|---|\n{}\n", rows.join("\n")).unwrap();
    }

    fn rows_of_fields(&self, of: &str, schema: &Value, rows: &mut Vec<String>) {
        for (name, field) in properties_or_none(schema) {
            let default = self.defaults.get(of).and_then(|of| of.get(name)).or_else(|| field.get("default"));
            let default = default.map_or_else(String::new, |default| format!("`{}`", flow(default)));
            rows.push(row(&format!("{of}.{name}"), &default, &describe(field)));
            let inner = self.resolved(field);
            self.rows_of_fields(&format!("{of}.{name}"), inner, rows);
            self.rows_of_forms(&format!("{of}.{name}: "), &inner["items"], rows);
        }
    }

    /// The values that something may have, or the forms.
    fn rows_of_forms(&self, before: &str, schema: &Value, rows: &mut Vec<String>) {
        let schema = self.resolved(schema);
        for form in ["oneOf", "anyOf"].iter().filter_map(|of| schema[of].as_array()).flatten() {
            match (form["const"].as_str(), form["properties"].as_object()) {
                (Some(name), _) => rows.push(row(&format!("{before}{name}"), "", &describe(form))),
                (None, Some(fields)) => {
                    for (name, field) in fields {
                        let example = match self.kind(field).as_str() {
                            "List" => "[…]",
                            "Fields" => "{…}",
                            _ => "…",
                        };
                        rows.push(row(&format!("{before}{name}: {example}"), "", &describe(form)));
                        self.rows_of_fields(name, self.resolved(field), rows);
                    }
                }
                _ => self.rows_of_forms(before, form, rows),
            }
        }
    }
}

fn row(name: &str, default: &str, what: &str) -> String {
    format!("| `{name}` | {default} | {} |", what.replace('\n', " "))
}

fn properties(schema: &Value) -> &Map<String, Value> {
    schema["properties"].as_object().expect("it has fields")
}

fn properties_or_none(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

fn describe(schema: &Value) -> String {
    let said = schema["description"].as_str().unwrap_or_else(|| panic!("nothing is said of {schema}"));
    said.to_owned()
}

fn example_of(schema: &Value) -> Option<&Value> {
    schema["examples"].get(0)
}

/// A value on one line of YAML.
fn flow(value: &Value) -> String {
    let is_plain = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "/.-_".contains(c))
    };
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| format!("{name}: {}", flow(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}
