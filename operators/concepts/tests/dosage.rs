//! Dosages of made-up sentences: text in, text out.

use proptest::prelude::*;
use stillroom_concepts::dosage;
use stillroom_schemas::{Span, Stated, Task};

/// The text without brackets; where the first pair of them stood, and where the second one begins.
fn unmarked(marked: &str) -> (String, Span, Option<u32>) {
    let (mut text, mut marks) = (String::new(), Vec::new());
    for character in marked.chars() {
        match character {
            '[' | ']' => marks.push(text.chars().count() as u32),
            _ => text.push(character),
        }
    }
    (text, Span { task: Task::Medication, start: marks[0], end: marks[1] }, marks.get(2).copied())
}

/// The first medication in brackets has this dosage; the second one, if there is one, is the next medication.
fn check(marked: &str, expected: &str) {
    let (text, medication, next) = unmarked(marked);
    let found = dosage(&text, &medication, next).unwrap_or_default();
    let characters: Vec<char> = text.chars().collect();
    for (name, stated) in found.parts() {
        let under: String = characters[stated.start as usize..stated.end as usize].iter().collect();
        assert_eq!(stated.text, under, "{name} of {marked}");
    }
    let shown: Vec<String> = found.parts().map(|(name, stated)| format!("{name}={}", stated.text)).collect();
    assert_eq!(shown.join("; "), expected, "{marked}");
}

#[test]
fn strengths_and_doses() {
    check("[metformin] 500 mg PO BID", "strength=500 mg; route=PO; frequency=BID");
    check("[insulin glargine] 20 units SC qHS", "dose=20 units; route=SC; frequency=qHS");
    check("[metoprolol] succinate ER 50 mg daily", "strength=50 mg; frequency=daily");
    check(
        "[oxycodone-acetaminophen] 5 mg-325 mg 1-2 tabs PO q4h prn",
        "strength=5 mg-325 mg; dose=1-2 tabs; form=tabs; route=PO; frequency=q4h prn",
    );
    check(
        "[Percocet] 5/325 mg 1 tablet every 4 to 6 hours as needed",
        "strength=5/325 mg; dose=1 tablet; form=tablet; frequency=every 4 to 6 hours as needed",
    );
    check(
        "[trimethoprim-sulfamethoxazole] 800-160 mg 1 tab MWF",
        "strength=800-160 mg; dose=1 tab; form=tab; frequency=MWF",
    );
    check(
        "[amoxicillin] 250 mg/5 mL suspension, 5 mL by mouth three times a day for 10 days",
        "strength=250 mg/5 mL; dose=5 mL; form=suspension; route=by mouth; frequency=three times a day; duration=for 10 days",
    );
    check("[Lovenox] 40 mg/0.4 mL subq daily", "strength=40 mg/0.4 mL; route=subq; frequency=daily");
    check(
        "[Albuterol] 90 mcg/actuation inhaler 2 puffs q4-6h prn",
        "strength=90 mcg/actuation; dose=2 puffs; form=inhaler; frequency=q4-6h prn",
    );
    check("[fentanyl] 25 mcg/hr patch every 72 hours", "strength=25 mcg/hr; form=patch; frequency=every 72 hours");
    check("[heparin] drip at 18 units/kg/hr", "dose=18 units/kg/hr; form=drip");
    check("[norepinephrine] 5 mcg/kg/min IV", "dose=5 mcg/kg/min; route=IV");
    check("[ceftriaxone] 50 mg/kg/dose IV daily", "dose=50 mg/kg/dose; route=IV; frequency=daily");
    check("[IVIG] 2 g/kg over 5 days", "dose=2 g/kg; duration=over 5 days");
    check(
        "[timolol] 0.5 % eye drops, 1 drop in both eyes twice daily",
        "strength=0.5 %; dose=1 drop; form=eye drops; route=in both eyes; frequency=twice daily",
    );
    check(
        "[hydrocortisone] 1% cream topically to affected area BID",
        "strength=1%; form=cream; route=topically; frequency=BID",
    );
    check("[penicillin G benzathine] 2.4 million units IM x 1", "dose=2.4 million units; route=IM; frequency=x 1");
    check(
        "[insulin lispro] 100 unit/mL, 10 units before meals",
        "strength=100 unit/mL; dose=10 units; frequency=before meals",
    );
    check("[potassium chloride] 20 mEq PO daily", "strength=20 mEq; route=PO; frequency=daily");
    check(
        "[gabapentin] 300 mg capsule take 2 capsules three times daily",
        "strength=300 mg; dose=2 capsules; form=capsule; frequency=three times daily",
    );
    check("[clonazepam] half a tablet at night", "dose=half a tablet; form=tablet; frequency=at night");
    check("[sertraline] 1\u{bd} tabs daily", "dose=1\u{bd} tabs; form=tabs; frequency=daily");
    check("[atorvastatin] 1 PO qhs", "dose=1; route=PO; frequency=qhs");
    check("[warfarin] 5 daily", "dose=5; frequency=daily");
    check("[metformin] 500 mg, 1000 mg daily", "strength=500 mg; dose=1000 mg; frequency=daily");
}

#[test]
fn forms_and_routes() {
    check(
        "[lisinopril] (Zestril) 10mg tablet, 1 tab by mouth daily for 30 days",
        "strength=10mg; dose=1 tab; form=tablet; route=by mouth; frequency=daily; duration=for 30 days",
    );
    check(
        "[lisinopril] ([Zestril]) 10mg tablet, 1 tab by mouth daily for 30 days",
        "strength=10mg; dose=1 tab; form=tablet; route=by mouth; frequency=daily; duration=for 30 days",
    );
    check(
        "[Aspirin] 81 mg Tablet, Chewable Sig: One (1) Tablet, Chewable PO DAILY (Daily).",
        "strength=81 mg; dose=One (1) Tablet, Chewable; form=Tablet, Chewable; route=PO; frequency=DAILY (Daily)",
    );
    check(
        "[fluticasone] nasal spray 2 sprays in each nostril once daily",
        "dose=2 sprays; form=nasal spray; route=in each nostril; frequency=once daily",
    );
    check(
        "[nitroglycerin] 0.4 mg sublingual tablet as needed",
        "strength=0.4 mg; form=tablet; route=sublingual; frequency=as needed",
    );
    check("[ondansetron] 4 mg ODT every 8 hours as needed", "strength=4 mg; frequency=every 8 hours as needed");
    check("[valproate] 40 mg per G-tube daily", "strength=40 mg; route=per G-tube; frequency=daily");
    check(
        "[morphine] 2-4 mg IV push every 2 hours prn pain",
        "strength=2-4 mg; route=IV push; frequency=every 2 hours prn",
    );
    check("[metformin] tablet(s) 500 mg", "strength=500 mg; form=tablet(s)");
    check(
        "[diltiazem] 120 mg extended-release capsule daily",
        "strength=120 mg; form=extended-release capsule; frequency=daily",
    );
    check("[fish oil] 1,000 mg capsule, #30", "strength=1,000 mg; form=capsule");
}

#[test]
fn frequencies() {
    check("[acetaminophen] prn", "frequency=prn");
    check("[ibuprofen] 600 mg q6h as needed for pain", "strength=600 mg; frequency=q6h as needed");
    check("[warfarin] 5 mg daily at bedtime", "strength=5 mg; frequency=daily at bedtime");
    check("[digoxin] 0.125 mg p.o. q.d.", "strength=0.125 mg; route=p.o.; frequency=q.d.");
    check("[furosemide] 40 mg b.i.d. p.o.", "strength=40 mg; route=p.o.; frequency=b.i.d.");
    check(
        "[levothyroxine] 75 mcg every morning before breakfast",
        "strength=75 mcg; frequency=every morning before breakfast",
    );
    check("[alendronate] 70 mg once a week", "strength=70 mg; frequency=once a week");
    check("[methotrexate] 15 mg weekly", "strength=15 mg; frequency=weekly");
    check("[vitamin D] 50,000 units q week", "dose=50,000 units; frequency=q week");
    check(
        "[heparin] 5,000 units subcutaneously every 8 hours",
        "dose=5,000 units; route=subcutaneously; frequency=every 8 hours",
    );
    check("[lorazepam] 0.5-1 mg IV q6h PRN", "strength=0.5-1 mg; route=IV; frequency=q6h PRN");
    check("[senna] 2 tabs/day", "dose=2 tabs; form=tabs; frequency=/day");
    check("[amiodarone] 200 mg 3x/week", "strength=200 mg; frequency=3x/week");
    check("[epoetin] 10,000 units 3 days a week", "dose=10,000 units; frequency=3 days a week");
    check("[azithromycin] 250 mg every other day", "strength=250 mg; frequency=every other day");
    check("[lisinopril] 10 mg at 8 AM", "strength=10 mg; frequency=at 8 AM");
    check("[lactulose] 30 mL q2h (every 2 hours) as needed", "dose=30 mL; frequency=q2h (every 2 hours) as needed");
    check("[tacrolimus] 2 mg in the morning and at bedtime", "strength=2 mg; frequency=in the morning and at bedtime");
    check("[dexamethasone] 4 mg every six (6) hours", "strength=4 mg; frequency=every six (6) hours");
    check("[methylprednisolone] 125 mg IV once", "strength=125 mg; route=IV; frequency=once");
    check("[rituximab] 1 g IV once every 2 weeks", "strength=1 g; route=IV; frequency=once every 2 weeks");
}

#[test]
fn durations() {
    check("[prednisone] 40 mg x 5 days", "strength=40 mg; duration=x 5 days");
    check("[vancomycin] 1 g IV q12h x 7 days", "strength=1 g; route=IV; frequency=q12h; duration=x 7 days");
    check("[azithromycin] 500 mg PO x 1 dose", "strength=500 mg; route=PO; duration=x 1 dose");
    check(
        "[ciprofloxacin] 500 mg twice a day for a total of 7 days",
        "strength=500 mg; frequency=twice a day; duration=for a total of 7 days",
    );
    check("[doxycycline] 100 mg BID for two weeks", "strength=100 mg; frequency=BID; duration=for two weeks");
    check("[cephalexin] 500 mg QID 7-day course", "strength=500 mg; frequency=QID; duration=7-day course");
    check("[aspirin] daily for life", "frequency=daily; duration=for life");
    check(
        "[prednisone] 40 mg daily x 3 days, then 20 mg daily x 3 days",
        "strength=40 mg; frequency=daily; duration=x 3 days",
    );
    check("[levetiracetam] started 3 days ago", "");
    check("[lidocaine] 5% patch, 12 hours on and 12 hours off", "strength=5%; form=patch");
}

#[test]
fn what_belongs_to_another_stays_there() {
    check("[metformin] 500 mg PO BID, [lisinopril] 10 mg daily", "strength=500 mg; route=PO; frequency=BID");
    check("[metformin] and [lisinopril] 10 mg daily", "");
    check("[aspirin], 40 mg of [prednisone] daily", "");
    check("[aspirin] 81 mg PO, IV [vancomycin]", "strength=81 mg; route=PO");
    check("[metformin] 500 mg [lisinopril] 10 mg", "strength=500 mg");
    check("[aspirin]\n40 mg [furosemide] daily", "");
    check("[aspirin] 81 mg\n40 mg [furosemide] daily", "strength=81 mg");
    check("[aspirin]\n81 mg daily\n[furosemide]", "strength=81 mg; frequency=daily");
    check("[aspirin]\n81 mg\n[furosemide]", "strength=81 mg");
    check("aspirin 81 mg PO [metformin] 500 mg", "strength=500 mg");
    check("[metformin] 500 mg. He denies pain twice daily", "strength=500 mg");
    check("[metformin] was held; 500 mg", "");
    check("[metformin] caused nausea 500 mg daily", "");
    check("[metformin] for diabetes 500 mg", "");
    check("[azithromycin] 500 mg on day 1", "strength=500 mg");
    check("no dosage for [aspirin]", "");
    check("[aspirin]", "");
    check("aspirin 81 mg\n[metformin] twice daily", "frequency=twice daily");
}

#[test]
fn what_leads_to_a_medication_counts() {
    check("started on 40 mg of [prednisone] daily", "strength=40 mg; frequency=daily");
    check("He received 1 g IV [vancomycin] in the ED", "strength=1 g; route=IV");
    check("given IV [furosemide] 40 mg", "strength=40 mg; route=IV");
    check("Took 2 tablets of [aspirin] 81 mg", "strength=81 mg; dose=2 tablets; form=tablets");
    check("20 units [glargine] at bedtime", "dose=20 units; frequency=at bedtime");
    check("- 40 mg [prednisone] daily", "strength=40 mg; frequency=daily");
    check("Started oral [prednisone] 40 mg", "strength=40 mg; route=oral");
}

#[test]
fn what_a_medication_ends_with_counts() {
    check("[Levothyroxine 88 mcg] PO daily", "strength=88 mcg; route=PO; frequency=daily");
    check("takes [Lipitor 20mg]", "strength=20mg");
    check("[metformin 500 mg tablets] twice daily", "strength=500 mg; form=tablets; frequency=twice daily");
    check("[metformin 500 mg] 2 tablets BID", "strength=500 mg; dose=2 tablets; form=tablets; frequency=BID");
    check("[metoprolol ER 50 mg] [lisinopril] 10 mg", "strength=50 mg");
    check("[aspirin, 81 mg], [lisinopril] 10 mg", "strength=81 mg");
    check("[Novolog 70/30] 20 units", "dose=20 units");
    check("[aspirin] 81 mg [lisinopril 10 mg]", "strength=81 mg");
    let text = "\u{1f600}\u{e9} Lipitor 20 mg daily";
    let medication = Span { task: Task::Medication, start: 3, end: 16 };
    let found = dosage(text, &medication, None).unwrap();
    assert_eq!(found.strength, Some(Stated { start: 11, end: 16, text: "20 mg".to_owned() }));
    assert_eq!(found.frequency, Some(Stated { start: 17, end: 22, text: "daily".to_owned() }));
}

#[test]
fn lines_may_break_and_doses_change() {
    check("[metformin]\n500 mg\nPO BID", "strength=500 mg; route=PO; frequency=BID");
    check("[metformin]\n\n500 mg PO BID", "");
    check("[lisinopril] increased from 10 mg to 20 mg daily", "strength=20 mg; frequency=daily");
    check("[lisinopril] was increased to 20 mg daily", "strength=20 mg; frequency=daily");
    check("[gabapentin] 300 mg TID increased to 600 mg TID", "strength=300 mg; frequency=TID");
    check("[prednisone]: 60 mg x 3 days, 40 mg x 3 days", "strength=60 mg; duration=x 3 days");
}

#[test]
fn positions_are_code_points() {
    let text = "\u{1f600}\u{e9} insulin 20 units at bedtime";
    let medication = Span { task: Task::Medication, start: 3, end: 10 };
    let found = dosage(text, &medication, None).unwrap();
    assert_eq!(found.dose, Some(Stated { start: 11, end: 19, text: "20 units".to_owned() }));
    assert_eq!(found.frequency, Some(Stated { start: 20, end: 30, text: "at bedtime".to_owned() }));
}

proptest! {
    #[test]
    fn parts_are_where_they_stand(
        text in "((metformin|500|mg|tab|PO|q8h|for 3 days|prn|of|and|1/2|b\\.i\\.d\\.|\\(|\\)|,|\\.|;|x|-|/|\n|\u{e9}|A)[ ]?){0,25}",
        start in 0u32..60,
        length in 0u32..12,
        next in proptest::option::of(0u32..90),
    ) {
        let characters: Vec<char> = text.chars().collect();
        let count = characters.len() as u32;
        let (start, end) = (start.min(count), (start + length).min(count));
        let found = dosage(&text, &Span { task: Task::Medication, start, end }, next).unwrap_or_default();
        for (name, stated) in found.parts() {
            let under: String = characters[stated.start as usize..stated.end as usize].iter().collect();
            prop_assert_eq!(&stated.text, &under, "{} of {:?}", name, text);
            // Its own words begin with a name.
            let is_behind = stated.start >= end || stated.start > start;
            prop_assert!(stated.end <= start || is_behind, "{} of {:?}", name, text);
        }
    }
}
