//! What is refused, with which words, at which place.

use super::tests::refused;

#[test]
fn each_fault_is_refused_with_its_place_and_what_was_expected() {
    let verbs_65: String = (0..65).map(|i| format!("V{i} = \"log\"\n")).collect();
    let cases: &[(&str, &str)] = &[
        (
            "porst = [25]",
            "1:1: unknown key `porst`; expected profile, ports, mode, [[scope]], capture_envelope, [commands], [extensions], [banner], [mask], [guards] or [mark]",
        ),
        ("a\u{fc} = 1", "1:2: not TOML: "),
        ("mode = ", "1:"),
        ("mode = \"monitor\"\nmode = \"enforce\"", "2:1: not TOML: duplicate key"),
        ("\n  mode = 1", "2:10: mode: expected \"monitor\" or \"enforce\", found a number"),
        ("mode = \"off\"", "1:8: mode: there is no mode `off`; expected monitor or enforce"),
        ("profile = 1.5", "1:11: profile: expected a profile's name, found a number with a fraction"),
        (
            "profile = \"strict\"",
            "1:11: profile: there is no profile `strict`; expected monitor, mark-esmtp, drop-esmtp, helo-only, pix-mailguard, asa-esmtp or hardened",
        ),
        ("capture_envelope = \"yes\"", "1:20: capture_envelope: expected true or false, found a string"),
        ("ports = 25", "1:9: ports: expected a list of TCP ports such as [25], found a number"),
        ("ports = []", "1:9: ports: expected 1 to 1024 TCP ports, found 0"),
        ("ports = [25, 0]", "1:14: ports: 0 is no TCP port; expected 1 to 65535"),
        ("ports = [25,\n  65536]", "2:3: ports: 65536 is no TCP port; expected 1 to 65535"),
        ("ports = [-25]", "1:10: ports: -25 is no TCP port; expected 1 to 65535"),
        ("ports = [\"smtp\"]", "1:10: ports: expected a TCP port, 1 to 65535, found a string"),
        (
            "ports = [25, 465]",
            "1:14: ports: 465 is TLS from the first byte and has no commands to read; expected ports of plain SMTP such as 25 or 587",
        ),
        ("ports = [25, 587, 25]", "1:19: ports: 25 is listed twice; expected each port once"),
        ("ports = [99999999999999999999]", "1:10: 99999999999999999999 is too large a number"),
        ("commands = \"drop\"", "1:12: commands: expected a table of verbs and actions, found a string"),
        (
            "[commands]\nEHLO = true",
            "2:8: commands.EHLO: expected an action (pass, log, mark, downgrade, mask, drop or reset), found true or false",
        ),
        (
            "[commands]\nEHLO = \"deny\"",
            "2:8: commands.EHLO: there is no action `deny`; expected pass, log, mark, downgrade, mask, drop or reset",
        ),
        (
            "[commands]\nHELO = \"deny\"",
            "2:8: commands.HELO: there is no action `deny`; expected pass, log, mark, mask, drop or reset",
        ),
        (
            "[commands]\nHELO = \"downgrade\"",
            "2:8: commands.HELO: `downgrade` is not legal here; expected pass, log, mark, mask, drop or reset",
        ),
        (
            "[commands]\nother = \"downgrade\"",
            "2:9: commands.other: `downgrade` is not legal here; expected pass, log, mark, mask, drop or reset",
        ),
        ("extensions = [\"STARTTLS\"]", "1:14: extensions: expected a table of keywords and actions, found a list"),
        (
            "[extensions]\nSTARTTLS = false",
            "2:12: extensions.STARTTLS: expected an action (pass, log or mask), found true or false",
        ),
        (
            "[extensions]\nSTARTTLS = \"hide\"",
            "2:12: extensions.STARTTLS: there is no action `hide`; expected pass, log or mask",
        ),
        (
            "[extensions]\nSTARTTLS = \"drop\"",
            "2:12: extensions.STARTTLS: `drop` is not legal here; expected pass, log or mask",
        ),
        (
            "[extensions]\nSTARTTLS = \"mark\"",
            "2:12: extensions.STARTTLS: `mark` is not legal here; expected pass, log or mask",
        ),
        (
            "[extensions]\nother = \"downgrade\"",
            "2:9: extensions.other: `downgrade` is not legal here; expected pass, log or mask",
        ),
        (
            "[extensions]\nSize = \"log\"\nsIZE = \"log\"",
            "3:1: extensions.sIZE: named twice, for case does not count; expected each keyword once",
        ),
        (
            "[extensions]\nother = \"log\"\nOther = \"log\"",
            "3:1: extensions.Other: named twice, for case does not count; expected each keyword once",
        ),
        (
            "[extensions]\nENHANCEDSTATUSCODES = \"mask\"",
            "2:1: extensions: `ENHANCEDSTATUSCODES` is no keyword; expected a word of 1 to 16 characters without `=`, for `AUTH=LOGIN` is AUTH",
        ),
        (
            "[extensions]\n\"AUTH=LOGIN\" = \"mask\"",
            "2:1: extensions: `AUTH=LOGIN` is no keyword; expected a word of 1 to 16 characters without `=`, for `AUTH=LOGIN` is AUTH",
        ),
        (
            "[extensions]\n\"SIZE 0\" = \"mask\"",
            "2:1: extensions: `SIZE 0` is no keyword; expected a word of 1 to 16 characters without `=`, for `AUTH=LOGIN` is AUTH",
        ),
        (
            "[extensions]\n\"\" = \"mask\"",
            "2:1: extensions: `` is no keyword; expected a word of 1 to 16 characters without `=`, for `AUTH=LOGIN` is AUTH",
        ),
        ("banner = \"pix\"", "1:10: banner: expected a table with show, found a string"),
        ("[banner]\nshow = \"none\"", "2:8: banner.show: expected all, host, host-smtp or pix, found `none`"),
        ("[banner]\nshow = \"PIX\"", "2:8: banner.show: expected all, host, host-smtp or pix, found `PIX`"),
        ("[banner]\nshow = 220", "2:8: banner.show: expected all, host, host-smtp or pix, found a number"),
        ("[banner]\nhide = \"all\"", "2:1: banner: unknown key `hide`; expected show"),
        ("mask = \"X\"", "1:8: mask: expected a table with fill, found a string"),
        ("[mask]\nfill = \"*\"", "2:8: mask.fill: expected X or noop, found `*`"),
        ("[mask]\nfill = \"NOOP\"", "2:8: mask.fill: expected X or noop, found `NOOP`"),
        ("[mask]\nfill = true", "2:8: mask.fill: expected X or noop, found true or false"),
        ("[mask]\nvalue = \"X\"", "2:1: mask: unknown key `value`; expected fill"),
        (
            "[commands]\nEHLO = \"drop\"\nehlo = \"pass\"",
            "3:1: commands.ehlo: named twice, for case does not count; expected each verb once",
        ),
        (
            "[commands]\nother = \"drop\"\nOTHER = \"pass\"",
            "3:1: commands.OTHER: named twice, for case does not count; expected each verb once",
        ),
        (
            "[commands]\n\"MAIL FROM\" = \"drop\"",
            "2:1: commands: `MAIL FROM` is no verb; expected a word of 1 to 16 characters",
        ),
        ("[commands]\n\"\" = \"drop\"", "2:1: commands: `` is no verb; expected a word of 1 to 16 characters"),
        (
            "[commands]\nABCDEFGHIJKLMNOPQ = \"drop\"",
            "2:1: commands: `ABCDEFGHIJKLMNOPQ` is no verb; expected a word of 1 to 16 characters",
        ),
        (
            "[guards]\nsmuggling = \"reset\"",
            "2:1: this version does not have the guard `smuggling`; expected unknown_connection, fragment, unreadable, syn_data, urgent, sync, starttls_injection, bdat_refused, changed_retransmission, late_end_of_data, spoofed_server, multipath, unmatched_reply, proxy_protocol or checksum",
        ),
        (
            "[guards]\nsink = \"reset\"",
            "2:1: unknown guard `sink`; expected unknown_connection, fragment, unreadable, syn_data, urgent, sync, starttls_injection, bdat_refused, changed_retransmission, late_end_of_data, spoofed_server, multipath, unmatched_reply, proxy_protocol or checksum",
        ),
        ("[guards]\nsync = \"log\"", "2:8: guards.sync: `log` is not legal here; expected drop or reset"),
        ("[guards]\nsyn_data = \"reset\"", "2:12: guards.syn_data: `reset` is not legal here; expected drop"),
        (
            "[guards]\nlate_end_of_data = \"drop\"",
            "2:20: guards.late_end_of_data: `drop` is not legal here; expected reset",
        ),
        (
            "[guards]\nfragment = \"mark\"",
            "2:12: guards.fragment: `mark` is not legal here; expected pass, log or drop",
        ),
        (
            "[guards]\nsync = { action = \"drop\" }",
            "2:8: guards.sync: expected an action (drop or reset), found a table",
        ),
        (
            "[guards]\nsync = \"drop\"\nSYNC = \"drop\"",
            "3:1: guards.sync: named twice, for case does not count; expected each guard once",
        ),
        (
            "[guards]\nunknown_connection = { grace = \"soon\" }",
            "2:32: guards.unknown_connection.grace: `soon` is no time; expected one such as \"10m\"",
        ),
        (
            "[guards]\nunknown_connection = { grace = 10 }",
            "2:32: guards.unknown_connection.grace: expected a time such as \"10m\", found a number",
        ),
        (
            "[guards]\nunknown_connection = { grace = \"8days\" }",
            "2:32: guards.unknown_connection.grace: `8days` is too long; expected at most \"7days\"",
        ),
        (
            "[guards]\nunknown_connection = { time = \"8days\" }",
            "2:24: guards.unknown_connection: unknown key `time`; expected action or grace",
        ),
        (
            "[guards]\nunknown_connection = { action = \"reset\" }",
            "2:33: guards.unknown_connection.action: `reset` is not legal here; expected pass, log or drop",
        ),
        (
            "[mark]\nvalue = 0x100",
            "1:1: mark: value 0x100 has bits that mask 0xff leaves alone; expected a value within the mask",
        ),
        ("[mark]\nvalue = -1", "2:9: mark.value: -1 has no 32 bits; expected 0 to 0xffffffff"),
        ("[mark]\nmask = 0\nvalue = 0", "1:1: mark: mask 0x0 would set nothing; expected at least one bit"),
        ("[mark]\nbits = 1", "2:1: mark: unknown key `bits`; expected value or mask"),
        ("mark = 3", "1:8: mark: expected a table with value and mask, found a number"),
        ("[limits]\n", "1:2: this version does not have [limits]; expected profile, "),
        ("mode = 1979-05-27", "1:8: mode: expected \"monitor\" or \"enforce\", found a date"),
    ];
    for (text, expected) in cases {
        let found = refused(text);
        assert!(found.starts_with(&format!("p.toml:{expected}")), "{text:?}\n  {found}\n  {expected}");
        assert!(!found.contains('\n'), "{found}");
    }
    let many = refused(&format!("[commands]\n{verbs_65}"));
    assert_eq!(many, "p.toml:66:1: commands.V64: the verb after the 64th; expected at most 64");
    let many = refused(&format!("[extensions]\n{verbs_65}"));
    assert_eq!(many, "p.toml:66:1: extensions.V64: the keyword after the 64th; expected at most 64");
}
