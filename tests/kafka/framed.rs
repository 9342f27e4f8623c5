//! Extractions and quality in the Confluent wire format, with their schemas in a real registry.

use crate::site::{Broker, Site};
use std::sync::Arc;
use std::time::Duration;
use stillroom_connectors::{Log, Source};
use stillroom_dataflow::{PlainJson, WireFormat};
use stillroom_registry::{Registry, RegistryConfig, RegistryFormat, RegistrySource};
use stillroom_schemas::Extraction;

/// The extractions of a site, by partition and offset.
fn extractions(site: &Site, framed: Option<&Arc<RegistryFormat>>) -> Vec<Option<Extraction>> {
    let name = site.topic("extractions");
    let plain = site.log.bounded().unwrap();
    let (mut source, wire): (Box<dyn Source>, Arc<dyn WireFormat>) = match framed {
        // It fetches the schemas of what it delivers.
        Some(format) => (Box::new(RegistrySource::new(plain, Arc::clone(format))), Arc::clone(format) as _),
        None => (plain, Arc::new(PlainJson)),
    };
    for partition in 0..source.partitions(&name).unwrap() {
        source.assign(&name, partition, 0).unwrap();
    }
    let mut records = Vec::new();
    while !source.is_finished() {
        records.extend(source.poll(1 << 20, Duration::from_millis(100)).unwrap());
    }
    records.sort_by_key(|record| record.position);
    let value = |bytes: Vec<u8>| {
        assert_eq!(bytes[0] == 0, framed.is_some(), "the first byte of a frame is 0");
        serde_json::from_slice(&wire.to_json(&name, &bytes).unwrap()).unwrap()
    };
    records.into_iter().map(|record| record.value.map(value)).collect()
}

#[test]
fn what_is_framed_is_what_is_plain_and_is_read_back_by_a_restart() {
    let Some(broker) = Broker::shared() else { return };
    let Ok(url) = std::env::var("STILLROOM_TEST_SCHEMA_REGISTRY") else {
        eprintln!(
            "skipped: no schema registry; run ./test, or scripts/schema-registry start and set STILLROOM_TEST_SCHEMA_REGISTRY"
        );
        return;
    };
    let plain = Site::new(&broker, 2);
    plain.fill(60);
    plain.finish(1);
    let expected = extractions(&plain, None);
    for format in ["avro", "json_schema"] {
        let mut site = Site::new(&broker, 2);
        site.extra =
            format!("[registry]\nurl = '{url}'\nformat = '{format}'\nauto_register = true\naccept_plain = true");
        site.fill(60);
        site.finish(2);
        let config = RegistryConfig { url: url.clone(), ..RegistryConfig::default() };
        let registry = Arc::new(Registry::new(&config, None).unwrap());
        let topics = ["extractions", "quality"].map(|topic| site.topic(topic));
        for topic in &topics {
            let subject = format!("{topic}-value");
            registry.latest(&subject).unwrap().unwrap_or_else(|| panic!("{subject} is not registered"));
        }
        let wire = Arc::new(RegistryFormat::new(registry, topics, false));
        assert_eq!(extractions(&site, Some(&wire)), expected, "{format}");
        // The restart compares the quality that it restores with what it finds published.
        site.put("later", "fever");
        let totals = site.finish(1).totals;
        assert_eq!(totals.notes, plain.progress().totals.notes + 1);
    }
}
