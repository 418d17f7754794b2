//! Writes good inputs for the targets to begin with into `corpus/`.

use std::fs;
use std::io;
use std::path::Path;

use kronos_fuzz::parsers;

const ID: &str = "00112233445566778899aabbccddeeff";
const TIME: &str = "2026-11-21T03:00:00.5Z";

fn main() -> io::Result<()> {
    let digest = ID.repeat(2);
    let entry = |kind: &str, payload: &str| {
        format!(
            r#"{{"seq":1,"token":"{ID}","after":0,"prev":"{digest}","time":"{TIME}","kind":"{kind}","payload":{payload}}}"#
        )
    };
    let manifest = format!(
        r#"{{"backup":"{ID}","run":"{ID}","origin":{{"repository":"{ID}","backup":"{ID}"}},"content":"{digest}",
        "engine":"sqlite","kind":"incremental","parent":null,"started":"{TIME}","finished":"{TIME}",
        "read_in_full":"{TIME}","root":{{"id":"{ID}","digest":"{digest}"}},"streams":1,"bytes":2,"bytes_read":3,
        "bytes_stored":4,"rows":5,"tags":{{"a":"b"}},"warnings":["c"],"revives":["{ID}"],"program":"kronos 0.1.0"}}"#
    );
    let doom = format!(r#"{{"packs":["{ID}"],"at":"{TIME}","runs":["{ID}"]}}"#);
    let damaged = format!(r#"{{"packs":{{"{ID}":[1]}},"backups":["{ID}"],"sound":["{ID}"],"whole":["{ID}"]}}"#);
    let moved = format!(
        r#"{{"run":"{ID}","moves":[{{"backup":"{ID}","was":"{ID}","root":{{"id":"{ID}","digest":"{digest}"}},"healed":true}}],
        "revives":["{ID}"]}}"#
    );
    let state = format!(
        r#"{{"next":257,"after":256,"digests":{{"0":"{digest}"}},"time":"{TIME}",
        "backups":{{"1":{{"seq":1,"manifest":{manifest},"held":true,"verified":null,"damaged":true}}}},"retired_roots":["{ID}"],
        "origins":[],"doomed":{{"{ID}":"{TIME}"}},"closed":[],"swept":[],"damage":{{"{ID}":[1]}},"faults":[]}}"#
    );
    let job = format!(
        r#"{{"id":"{ID}","name":"shop","fingerprint":{{"engine":"sqlite","identities":["path:/a"]}},"created":"{TIME}"}}"#
    );
    let table = [&[7; 16][..], &[1, 0, 100, 0, 1], &[9; 16], &[84]].concat();
    let leaf = [&[0, 1][..], &[7; 16], &[1, 0, 5, 6, 7]].concat();
    let inner = [&[1, 1][..], &[7; 16], &[1], &[9; 16], &[0, 5, 6, 7, 8]].concat();
    let pack = parsers().sealed_pack(&table, &[1; 84]);
    let record = parsers().seal_record(1, b"{}");
    let (header, header_text) = parsers().some_header();

    let seeds: [(&str, Vec<Vec<u8>>); 12] = [
        ("header", vec![header, header_text.into_bytes()]),
        ("keys", vec![format!(r#"{{"id":"{digest}","meta":"{digest}","data":"{digest}"}}"#).into_bytes()]),
        (
            "record",
            vec![record, [&2_u32.to_le_bytes()[..], &[0x28, 0xb5, 0x2f, 0xfd, 0x20, 2, 0x11, 0, 0, 123, 125]].concat()],
        ),
        (
            "entry",
            [("backup", &manifest), ("doom", &doom), ("damaged", &damaged), ("moved", &moved)]
                .map(|(kind, payload)| entry(kind, payload).into_bytes())
                .into(),
        ),
        ("checkpoint", vec![state.into_bytes()]),
        ("announcement", vec![format!(r#"{{"run":"{ID}","started":"{TIME}","seen":"{TIME}"}}"#).into_bytes()]),
        ("job", vec![job.into_bytes()]),
        ("root", vec![parsers().some_root()]),
        ("pack", vec![pack, [&[128][..], &table, &[1; 42]].concat()]),
        ("table", vec![table]),
        ("node", vec![leaf, inner]),
        ("job_name", vec![b"%53hop".to_vec()]),
    ];
    for (target, inputs) in seeds {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        fs::create_dir_all(&place)?;
        for (n, input) in inputs.iter().enumerate() {
            fs::write(place.join(format!("seed-{n}")), input)?;
        }
    }
    statements()
}

/// The cases of the tests, each after a byte that names the engine.
fn statements() -> io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = here.join("corpus/judge");
    fs::create_dir_all(&place)?;
    for (engine, name) in (0_u8..).zip(["postgres", "mysql", "sqlite", "mongodb"]) {
        let cases = here.join(format!("../kronos-connectors/tests/safety/corpus/{name}.txt"));
        let cases = fs::read_to_string(cases)?;
        for (n, case) in cases.split("\n### ").skip(1).enumerate() {
            let text = case.split_once('\n').map_or("", |(_, text)| text.trim_end());
            fs::write(place.join(format!("{name}-{n}")), [&[engine], text.as_bytes()].concat())?;
        }
    }
    Ok(())
}
