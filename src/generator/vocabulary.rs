//! What the generated patients have, feel and take.
//!
//! Written for this demo from general medical knowledge; no terminology or corpus was copied. The tables are consistent enough to
//! read well (a condition with drugs that are given for it) and are no source of medical advice.

use std::collections::BTreeSet;
use stillroom_schemas::Task;

/// A disease with what usually comes with it.
#[derive(Clone, Copy)]
pub(super) struct Condition {
    /// Its names: the full one first, then abbreviations and shorter forms as clinicians write them.
    pub(super) names: &'static [&'static str],
    /// Drugs given for it, each in [`MEDICATIONS`].
    pub(super) drugs: &'static [&'static str],
    /// How it shows.
    pub(super) symptoms: &'static [&'static str],
}

impl Condition {
    /// Whether a patient of this sex can have it.
    pub(super) fn suits(&self, sex: &str) -> bool {
        match self.names[0] {
            "breast cancer" | "endometriosis" => sex == "woman",
            "benign prostatic hyperplasia" | "prostate cancer" => sex == "man",
            _ => true,
        }
    }
}

const fn condition(
    names: &'static [&'static str],
    drugs: &'static [&'static str],
    symptoms: &'static [&'static str],
) -> Condition {
    Condition { names, drugs, symptoms }
}

/// The diseases.
#[rustfmt::skip]
pub(super) const CONDITIONS: &[Condition] = &[
    condition(&["hypertension", "HTN"], &["lisinopril", "amlodipine", "losartan", "hydrochlorothiazide"], &["headache", "blurred vision", "dizziness"]),
    condition(&["atrial fibrillation", "AFib"], &["apixaban", "metoprolol", "diltiazem", "warfarin"], &["palpitations", "SOB", "lightheadedness"]),
    condition(&["coronary artery disease", "CAD"], &["aspirin", "atorvastatin", "clopidogrel", "nitroglycerin"], &["chest pain", "exertional dyspnea", "diaphoresis"]),
    condition(&["congestive heart failure", "CHF", "heart failure"], &["furosemide", "carvedilol", "spironolactone", "sacubitril/valsartan"], &["orthopnea", "leg swelling", "SOB"]),
    condition(&["myocardial infarction", "NSTEMI", "STEMI"], &["ticagrelor", "aspirin", "heparin"], &["crushing chest pain", "diaphoresis", "nausea"]),
    condition(&["aortic stenosis"], &["furosemide", "metoprolol"], &["syncope", "exertional dyspnea", "chest tightness"]),
    condition(&["deep vein thrombosis", "DVT"], &["enoxaparin", "rivaroxaban"], &["calf pain", "leg swelling", "calf tenderness"]),
    condition(&["pulmonary embolism"], &["heparin", "apixaban"], &["pleuritic chest pain", "hemoptysis", "tachypnea"]),
    condition(&["peripheral artery disease", "PAD"], &["cilostazol", "clopidogrel"], &["claudication", "cold feet"]),
    condition(&["pericarditis"], &["colchicine", "ibuprofen"], &["pleuritic chest pain", "fever"]),
    condition(&["hyperlipidemia", "HLD", "hypercholesterolemia"], &["rosuvastatin", "atorvastatin", "ezetimibe"], &["muscle aches", "fatigue"]),
    condition(&["type 2 diabetes mellitus", "DM2", "T2DM", "type 2 diabetes"], &["metformin", "insulin glargine", "empagliflozin", "semaglutide"], &["polyuria", "polydipsia", "blurred vision"]),
    condition(&["type 1 diabetes", "T1DM"], &["insulin lispro", "insulin glargine"], &["polyuria", "weight loss", "fatigue"]),
    condition(&["hypothyroidism"], &["levothyroxine"], &["cold intolerance", "fatigue", "dry skin"]),
    condition(&["Graves' disease", "hyperthyroidism"], &["methimazole", "propranolol"], &["heat intolerance", "palpitations", "tremor"]),
    condition(&["Addison's disease", "adrenal insufficiency"], &["hydrocortisone", "fludrocortisone"], &["salt craving", "lightheadedness", "weight loss"]),
    condition(&["osteoporosis"], &["alendronate", "cholecalciferol"], &["back pain", "loss of height"]),
    condition(&["gout"], &["allopurinol", "colchicine"], &["toe pain", "joint swelling"]),
    condition(&["asthma"], &["albuterol", "fluticasone", "montelukast"], &["wheezing", "chest tightness", "nocturnal cough"]),
    condition(&["chronic obstructive pulmonary disease", "COPD"], &["tiotropium", "albuterol", "prednisone"], &["productive cough", "dyspnea", "wheezing"]),
    condition(&["community-acquired pneumonia", "pneumonia"], &["ceftriaxone", "azithromycin", "doxycycline"], &["productive cough", "fever", "rigors"]),
    condition(&["bronchiectasis"], &["azithromycin", "acetylcysteine"], &["purulent sputum", "hemoptysis"]),
    condition(&["obstructive sleep apnea", "OSA"], &["modafinil"], &["snoring", "daytime sleepiness", "morning headaches"]),
    condition(&["pulmonary tuberculosis", "TB"], &["isoniazid", "rifampin", "ethambutol"], &["night sweats", "hemoptysis", "weight loss"]),
    condition(&["idiopathic pulmonary fibrosis", "pulmonary fibrosis"], &["nintedanib"], &["dry cough", "exertional dyspnea"]),
    condition(&["influenza"], &["oseltamivir", "acetaminophen"], &["myalgia", "fever", "sore throat"]),
    condition(&["COVID-19"], &["nirmatrelvir/ritonavir", "dexamethasone"], &["loss of smell", "dry cough", "fever"]),
    condition(&["gastroesophageal reflux disease", "GERD"], &["omeprazole", "famotidine"], &["heartburn", "regurgitation", "hoarseness"]),
    condition(&["peptic ulcer disease", "PUD"], &["pantoprazole", "sucralfate"], &["epigastric pain", "melena", "early satiety"]),
    condition(&["Crohn's disease"], &["infliximab", "azathioprine", "budesonide"], &["abdominal cramps", "diarrhea", "weight loss"]),
    condition(&["ulcerative colitis"], &["mesalamine", "vedolizumab"], &["bloody diarrhea", "tenesmus", "urgency"]),
    condition(&["cirrhosis"], &["lactulose", "spironolactone", "rifaximin"], &["abdominal distension", "confusion", "easy bruising"]),
    condition(&["hepatitis C", "HCV infection"], &["sofosbuvir/velpatasvir"], &["fatigue", "jaundice"]),
    condition(&["acute pancreatitis", "pancreatitis"], &["hydromorphone", "ondansetron"], &["epigastric pain", "vomiting", "nausea"]),
    condition(&["acute cholecystitis", "cholecystitis"], &["piperacillin-tazobactam", "ketorolac"], &["right upper quadrant pain", "nausea", "fever"]),
    condition(&["diverticulitis"], &["metronidazole", "ciprofloxacin"], &["left lower quadrant pain", "constipation", "fever"]),
    condition(&["celiac disease"], &["ferrous sulfate", "cholecalciferol"], &["bloating", "diarrhea", "flatulence"]),
    condition(&["irritable bowel syndrome", "IBS"], &["dicyclomine", "loperamide"], &["bloating", "abdominal cramps", "constipation"]),
    condition(&["viral gastroenteritis", "gastroenteritis"], &["ondansetron", "loperamide"], &["vomiting", "watery diarrhea", "abdominal cramps"]),
    condition(&["chronic kidney disease", "CKD"], &["sevelamer", "calcitriol", "sodium bicarbonate"], &["fatigue", "pruritus", "poor appetite"]),
    condition(&["acute kidney injury", "AKI"], &["sodium bicarbonate", "furosemide"], &["oliguria", "ankle swelling", "nausea"]),
    condition(&["nephrolithiasis"], &["tamsulosin", "ketorolac"], &["flank pain", "hematuria", "vomiting"]),
    condition(&["urinary tract infection", "UTI"], &["nitrofurantoin", "trimethoprim-sulfamethoxazole"], &["dysuria", "urinary frequency", "suprapubic pain"]),
    condition(&["pyelonephritis"], &["ceftriaxone", "ciprofloxacin"], &["flank pain", "rigors", "fever"]),
    condition(&["benign prostatic hyperplasia", "BPH"], &["tamsulosin", "finasteride"], &["nocturia", "weak urinary stream", "urinary hesitancy"]),
    condition(&["nephrotic syndrome"], &["prednisone", "furosemide"], &["periorbital swelling", "ankle swelling", "foamy urine"]),
    condition(&["ischemic stroke", "CVA"], &["alteplase", "aspirin", "clopidogrel"], &["slurred speech", "facial droop", "arm weakness"]),
    condition(&["epilepsy", "seizure disorder"], &["levetiracetam", "lamotrigine", "valproate"], &["staring spells", "confusion", "convulsions"]),
    condition(&["migraine"], &["sumatriptan", "topiramate"], &["throbbing headache", "photophobia", "nausea"]),
    condition(&["Parkinson's disease"], &["carbidopa/levodopa", "ropinirole"], &["resting tremor", "rigidity", "shuffling gait"]),
    condition(&["Alzheimer's disease"], &["donepezil", "memantine"], &["memory loss", "confusion", "wandering"]),
    condition(&["multiple sclerosis"], &["ocrelizumab", "baclofen"], &["double vision", "numbness", "gait instability"]),
    condition(&["peripheral neuropathy"], &["gabapentin", "duloxetine"], &["burning feet", "numbness", "tingling"]),
    condition(&["myasthenia gravis"], &["pyridostigmine"], &["drooping eyelids", "double vision", "difficulty swallowing"]),
    condition(&["Guillain-Barré syndrome"], &["immunoglobulin"], &["ascending weakness", "tingling", "back pain"]),
    condition(&["Ménière's disease"], &["betahistine"], &["vertigo", "tinnitus", "hearing loss"]),
    condition(&["trigeminal neuralgia"], &["carbamazepine"], &["facial pain"]),
    condition(&["major depressive disorder", "MDD"], &["sertraline", "mirtazapine", "bupropion"], &["low mood", "anhedonia", "poor sleep"]),
    condition(&["generalized anxiety disorder", "GAD"], &["escitalopram", "buspirone"], &["restlessness", "palpitations", "poor sleep"]),
    condition(&["bipolar disorder"], &["lithium", "quetiapine"], &["pressured speech", "irritability", "poor sleep"]),
    condition(&["schizophrenia"], &["olanzapine", "risperidone"], &["auditory hallucinations", "social withdrawal"]),
    condition(&["alcohol use disorder"], &["thiamine", "naltrexone", "lorazepam"], &["tremor", "sweating", "irritability"]),
    condition(&["iron deficiency anemia"], &["ferrous sulfate"], &["fatigue", "pallor", "exertional dyspnea"]),
    condition(&["sickle cell disease"], &["hydroxyurea", "morphine"], &["bone pain", "jaundice"]),
    condition(&["multiple myeloma"], &["bortezomib", "lenalidomide"], &["bone pain", "fatigue"]),
    condition(&["breast cancer"], &["tamoxifen", "letrozole", "trastuzumab"], &["breast lump", "hot flashes"]),
    condition(&["prostate cancer"], &["leuprolide", "abiraterone"], &["urinary hesitancy", "hot flashes", "bone pain"]),
    condition(&["colorectal cancer", "colon cancer"], &["capecitabine", "oxaliplatin"], &["rectal bleeding", "weight loss", "tingling"]),
    condition(&["lung adenocarcinoma"], &["osimertinib", "pembrolizumab"], &["hemoptysis", "hoarseness", "weight loss"]),
    condition(&["Hodgkin lymphoma"], &["doxorubicin", "allopurinol"], &["night sweats", "neck swelling", "pruritus"]),
    condition(&["rheumatoid arthritis"], &["methotrexate", "adalimumab", "folic acid"], &["morning stiffness", "joint swelling", "hand pain"]),
    condition(&["osteoarthritis"], &["acetaminophen", "diclofenac"], &["knee pain", "stiffness"]),
    condition(&["systemic lupus erythematosus", "SLE"], &["hydroxychloroquine", "prednisone"], &["malar rash", "joint pain", "mouth ulcers"]),
    condition(&["Sjögren's syndrome"], &["pilocarpine"], &["dry eyes", "dry mouth"]),
    condition(&["Behçet's disease"], &["colchicine", "azathioprine"], &["mouth ulcers", "eye redness"]),
    condition(&["psoriasis"], &["calcipotriene", "methotrexate"], &["scaly rash", "itching"]),
    condition(&["ankylosing spondylitis"], &["naproxen", "adalimumab"], &["low back pain", "morning stiffness"]),
    condition(&["cellulitis"], &["cephalexin", "vancomycin"], &["redness", "warmth", "chills"]),
    condition(&["sepsis"], &["piperacillin-tazobactam", "vancomycin", "norepinephrine"], &["confusion", "rigors", "tachycardia"]),
    condition(&["HIV infection", "HIV"], &["bictegravir/emtricitabine/tenofovir"], &["night sweats", "swollen glands"]),
    condition(&["herpes zoster", "shingles"], &["valacyclovir", "gabapentin"], &["blistering rash", "burning pain"]),
    condition(&["Lyme disease"], &["doxycycline"], &["expanding rash", "joint pain", "fatigue"]),
    condition(&["infective endocarditis", "endocarditis"], &["gentamicin", "vancomycin"], &["fever", "night sweats"]),
    condition(&["atopic dermatitis", "eczema"], &["triamcinolone", "cetirizine"], &["itching", "dry skin"]),
    condition(&["glaucoma"], &["latanoprost", "timolol"], &["eye pain", "halos around lights"]),
    condition(&["endometriosis"], &["norethindrone", "naproxen"], &["pelvic pain", "painful periods"]),
];

/// The drugs, each with a usual dose and how it is taken.
#[rustfmt::skip]
pub(super) const MEDICATIONS: &[(&str, &str, &str)] = &[
    ("abiraterone", "1000 mg", "PO daily"), ("acetaminophen", "650 mg", "PO q6h PRN"), ("acetylcysteine", "600 mg", "PO BID"),
    ("adalimumab", "40 mg", "SC every 2 weeks"), ("albuterol", "90 µg", "2 puffs q4h PRN"), ("alendronate", "70 mg", "PO weekly"),
    ("allopurinol", "300 mg", "PO daily"), ("alteplase", "0.9 mg/kg", "IV once"), ("amlodipine", "5 mg", "PO daily"),
    ("apixaban", "5 mg", "PO BID"), ("aspirin", "81 mg", "PO daily"), ("atorvastatin", "40 mg", "PO qHS"),
    ("azathioprine", "100 mg", "PO daily"), ("azithromycin", "500 mg", "PO daily"), ("baclofen", "10 mg", "PO TID"),
    ("betahistine", "16 mg", "PO TID"), ("bictegravir/emtricitabine/tenofovir", "1 tablet", "PO daily"), ("bortezomib", "1.3 mg/m²", "SC weekly"),
    ("budesonide", "9 mg", "PO daily"), ("bupropion", "150 mg", "PO BID"), ("buspirone", "10 mg", "PO BID"),
    ("calcipotriene", "0.005%", "topical BID"), ("calcitriol", "0.25 µg", "PO daily"), ("capecitabine", "1250 mg/m²", "PO BID"),
    ("carbamazepine", "200 mg", "PO BID"), ("carbidopa/levodopa", "25/100 mg", "PO TID"), ("carvedilol", "12.5 mg", "PO BID"),
    ("ceftriaxone", "1 g", "IV q24h"), ("cephalexin", "500 mg", "PO QID"), ("cetirizine", "10 mg", "PO daily"),
    ("cholecalciferol", "25 µg", "PO daily"), ("cilostazol", "100 mg", "PO BID"), ("ciprofloxacin", "500 mg", "PO BID"),
    ("clopidogrel", "75 mg", "PO daily"), ("colchicine", "0.6 mg", "PO BID"), ("dexamethasone", "6 mg", "PO daily"),
    ("diclofenac", "1%", "gel QID"), ("dicyclomine", "20 mg", "PO QID"), ("diltiazem", "120 mg", "PO daily"),
    ("donepezil", "10 mg", "PO qHS"), ("doxorubicin", "25 mg/m²", "IV every 2 weeks"), ("doxycycline", "100 mg", "PO BID"),
    ("duloxetine", "60 mg", "PO daily"), ("empagliflozin", "10 mg", "PO daily"), ("enoxaparin", "80 mg", "SC q12h"),
    ("escitalopram", "10 mg", "PO daily"), ("ethambutol", "1200 mg", "PO daily"), ("ezetimibe", "10 mg", "PO daily"),
    ("famotidine", "20 mg", "PO BID"), ("ferrous sulfate", "325 mg", "PO every other day"), ("finasteride", "5 mg", "PO daily"),
    ("fludrocortisone", "100 µg", "PO daily"), ("fluticasone", "110 µg", "2 puffs BID"), ("folic acid", "1 mg", "PO daily"),
    ("furosemide", "40 mg", "PO BID"), ("gabapentin", "300 mg", "PO TID"), ("gentamicin", "1 mg/kg", "IV q8h"),
    ("heparin", "5000 units", "SC q8h"), ("hydrochlorothiazide", "25 mg", "PO daily"), ("hydrocortisone", "15 mg", "PO qAM"),
    ("hydromorphone", "0.5 mg", "IV q3h PRN"), ("hydroxychloroquine", "200 mg", "PO BID"), ("hydroxyurea", "1000 mg", "PO daily"),
    ("ibuprofen", "600 mg", "PO TID"), ("immunoglobulin", "0.4 g/kg", "IV daily × 5"), ("infliximab", "5 mg/kg", "IV every 8 weeks"),
    ("insulin glargine", "20 units", "SC qHS"), ("insulin lispro", "6 units", "SC with meals"), ("isoniazid", "300 mg", "PO daily"),
    ("ketorolac", "15 mg", "IV q6h"), ("lactulose", "20 g", "PO TID"), ("lamotrigine", "100 mg", "PO BID"),
    ("latanoprost", "0.005%", "1 drop OU qHS"), ("lenalidomide", "25 mg", "PO days 1–21"), ("letrozole", "2.5 mg", "PO daily"),
    ("leuprolide", "22.5 mg", "IM every 3 months"), ("levetiracetam", "500 mg", "PO BID"), ("levothyroxine", "75 µg", "PO qAM"),
    ("lisinopril", "10 mg", "PO daily"), ("lithium", "300 mg", "PO TID"), ("loperamide", "2 mg", "PO PRN"),
    ("lorazepam", "1 mg", "PO q6h PRN"), ("losartan", "50 mg", "PO daily"), ("memantine", "10 mg", "PO BID"),
    ("mesalamine", "2.4 g", "PO daily"), ("metformin", "1000 mg", "PO BID"), ("methimazole", "10 mg", "PO daily"),
    ("methotrexate", "15 mg", "PO weekly"), ("metoprolol", "25 mg", "PO BID"), ("metronidazole", "500 mg", "PO TID"),
    ("mirtazapine", "15 mg", "PO qHS"), ("modafinil", "200 mg", "PO qAM"), ("montelukast", "10 mg", "PO qHS"),
    ("morphine", "4 mg", "IV q4h PRN"), ("naltrexone", "50 mg", "PO daily"), ("naproxen", "500 mg", "PO BID"),
    ("nintedanib", "150 mg", "PO BID"), ("nirmatrelvir/ritonavir", "300/100 mg", "PO BID"), ("nitrofurantoin", "100 mg", "PO BID"),
    ("nitroglycerin", "0.4 mg", "SL PRN"), ("norepinephrine", "0.1 µg/kg/min", "IV"), ("norethindrone", "5 mg", "PO daily"),
    ("ocrelizumab", "600 mg", "IV every 6 months"), ("olanzapine", "10 mg", "PO qHS"), ("omeprazole", "20 mg", "PO daily"),
    ("ondansetron", "4 mg", "IV q8h PRN"), ("oseltamivir", "75 mg", "PO BID"), ("osimertinib", "80 mg", "PO daily"),
    ("oxaliplatin", "85 mg/m²", "IV every 2 weeks"), ("pantoprazole", "40 mg", "IV BID"), ("pembrolizumab", "200 mg", "IV every 3 weeks"),
    ("pilocarpine", "5 mg", "PO TID"), ("piperacillin-tazobactam", "4.5 g", "IV q6h"), ("prednisone", "40 mg", "PO daily"),
    ("propranolol", "20 mg", "PO TID"), ("pyridostigmine", "60 mg", "PO TID"), ("quetiapine", "100 mg", "PO qHS"),
    ("rifampin", "600 mg", "PO daily"), ("rifaximin", "550 mg", "PO BID"), ("risperidone", "2 mg", "PO qHS"),
    ("rivaroxaban", "15 mg", "PO BID"), ("ropinirole", "1 mg", "PO TID"), ("rosuvastatin", "20 mg", "PO qHS"),
    ("sacubitril/valsartan", "49/51 mg", "PO BID"), ("semaglutide", "0.5 mg", "SC weekly"), ("sertraline", "100 mg", "PO daily"),
    ("sevelamer", "800 mg", "PO TID"), ("sodium bicarbonate", "650 mg", "PO BID"), ("sofosbuvir/velpatasvir", "400/100 mg", "PO daily"),
    ("spironolactone", "25 mg", "PO daily"), ("sucralfate", "1 g", "PO QID"), ("sumatriptan", "50 mg", "PO PRN"),
    ("tamoxifen", "20 mg", "PO daily"), ("tamsulosin", "0.4 mg", "PO qHS"), ("thiamine", "100 mg", "IV daily"),
    ("ticagrelor", "90 mg", "PO BID"), ("timolol", "0.5%", "1 drop OU BID"), ("tiotropium", "18 µg", "inhaled daily"),
    ("topiramate", "50 mg", "PO BID"), ("trastuzumab", "6 mg/kg", "IV every 3 weeks"), ("triamcinolone", "0.1%", "topical BID"),
    ("trimethoprim-sulfamethoxazole", "800/160 mg", "PO BID"), ("valacyclovir", "1 g", "PO TID"), ("valproate", "500 mg", "PO BID"),
    ("vancomycin", "1 g", "IV q12h"), ("vedolizumab", "300 mg", "IV every 8 weeks"), ("warfarin", "5 mg", "PO daily"),
];

/// One name in so many is unknown to the demo's teacher.
const UNKNOWN_EVERY: usize = 3;

/// What the demo's teacher knows: the full names, no short forms, of two in three.
pub(super) fn known_names(task: Task) -> Vec<&'static str> {
    let names: Vec<&str> = match task {
        Task::Disease => CONDITIONS.iter().map(|condition| condition.names[0]).collect(),
        Task::Medication => MEDICATIONS.iter().map(|(name, ..)| *name).collect(),
        Task::Symptom => {
            let symptoms: BTreeSet<&str> =
                CONDITIONS.iter().flat_map(|condition| condition.symptoms).copied().collect();
            symptoms.into_iter().collect()
        }
    };
    names.into_iter().enumerate().filter(|(at, _)| at % UNKNOWN_EVERY > 0).map(|(_, name)| name).collect()
}

/// Hospitals and clinics in places that are known not to exist.
pub(super) const SITES: &[&str] = &["Atlantis General", "Avalon Infirmary", "El Dorado Clinic", "Hôpital d’Ys"];

/// Family names of invented clinicians.
pub(super) const CLINICIANS: &[&str] = &[
    "Müller",
    "Sørensen",
    "O’Brien",
    "Nuñez",
    "García",
    "Łukasik",
    "Okafor",
    "Nakamura",
    "Lefèvre",
    "Haddad",
    "Åkesson",
    "Patel",
    "Kovács",
    "Whitcombe",
    "Dvořák",
    "Mbeki",
    "Søren Holm",
    "Chen",
];
