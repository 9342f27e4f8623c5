import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import ca.uhn.fhir.validation.SingleValidationMessage;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.r4.model.StructureDefinition;

/**
 * Validates NDJSON of bundles by HAPI's validator: cardinalities, invariants and required codes of FHIR R4, and no extension but those
 * that are defined. Arguments: the definition of an extension, then files. Warnings are best practices and code systems that are not
 * here to look codes up in; they do not count.
 */
class Fhir {
  /** What may not pass when it is put in the place of what is written. */
  private static final Map<String, String> WRONG =
      Map.of(
          "\"code\":\"confirmed\"", "\"code\":\"perhaps\"",
          "\"status\":\"preliminary\"", "\"status\":\"seen\"",
          "\"url\":\"start\"", "\"url\":\"begin\"",
          "\"url\":\"urn:stillroom:fhir:text-span\"", "\"url\":\"urn:stillroom:fhir:span\"",
          "\"method\":\"PUT\",", "",
          "\"relationship\":", "\"relation\":",
          "\"target\":[", "\"targets\":[");

  public static void main(String[] arguments) throws Exception {
    FhirContext context = FhirContext.forR4();
    PrePopulatedValidationSupport own = new PrePopulatedValidationSupport(context);
    String definition = Files.readString(Path.of(arguments[0]));
    own.addStructureDefinition(context.newJsonParser().parseResource(StructureDefinition.class, definition));
    FhirInstanceValidator instance =
        new FhirInstanceValidator(
            new ValidationSupportChain(
                own,
                new DefaultProfileValidationSupport(context),
                new CommonCodeSystemsTerminologyService(context),
                new InMemoryTerminologyServerValidationSupport(context),
                new SnapshotGeneratingValidationSupport(context)));
    instance.setAnyExtensionsAllowed(false);
    FhirValidator validator = context.newValidator().registerValidatorModule(instance);

    int wrong = 0;
    for (String file : List.of(arguments).subList(1, arguments.length)) {
      List<String> lines = Files.readAllLines(Path.of(file));
      for (int line = 0; line < lines.size(); line++) {
        wrong += errors(validator, lines.get(line), file + ", line " + (line + 1));
      }
      for (Map.Entry<String, String> entry : WRONG.entrySet()) {
        String bundle = lines.stream().filter(line -> line.contains(entry.getKey())).findFirst().orElse(null);
        if (bundle == null) {
          wrong++;
          System.err.println(file + ": nowhere has " + entry.getKey());
        } else if (errors(validator, bundle.replace(entry.getKey(), entry.getValue()), null) == 0) {
          wrong++;
          System.err.println(file + ": " + entry.getValue() + " passes for " + entry.getKey());
        }
      }
      System.out.println("HAPI: " + file + ": " + lines.size() + " bundles");
    }
    System.exit(wrong == 0 ? 0 : 1);
  }

  /** How many errors there are; they are printed where {@code place} says where. */
  private static int errors(FhirValidator validator, String resource, String place) {
    int errors = 0;
    for (SingleValidationMessage message : validator.validateWithResult(resource).getMessages()) {
      if (message.getSeverity().ordinal() >= ResultSeverityEnum.ERROR.ordinal()) {
        errors++;
        if (place != null) {
          System.err.println(place + ": " + message.getLocationString() + ": " + message.getMessage());
        }
      }
    }
    return errors;
  }
}
