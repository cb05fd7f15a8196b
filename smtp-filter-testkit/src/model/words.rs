//! What is said: commands, mail data, keywords.

use crate::Random;

/// Commands that end nothing and wait for nothing.
const COMMANDS: &[&str] = &[
    "NOOP",
    "NOOP with an argument",
    "RSET",
    "VRFY bob",
    "VRFY",
    "EXPN staff",
    "HELP",
    "ETRN server.example",
    "TURN",
    "ATRN client.example",
    "SEND FROM:<alice@client.example>",
    "SAML FROM:<alice@client.example>",
    "SOML FROM:<alice@client.example>",
    "XCLIENT NAME=evil.example ADDR=192.0.2.66",
    "XFORWARD NAME=evil.example",
    "X-EXPS GSSAPI",
    "X-LINK2STATE FIRST CHUNK={0000}",
    "XEXCH50 4 2",
    "X-ANONYMOUSTLS",
    "VERB",
    "ONEX",
    "BURL imap://a/b LAST",
    "LHLO client.example",
    "WIZ",
    "DEBUG",
    "GET / HTTP/1.1",
    "Host: server.example",
    "EHL client.example",
    "EHLOX client.example",
    "NOO",
    "NOOPS",
    "Q",
    "A",
    "ab",
    "abc",
    "STARTTL",
    "STARTTLSX",
    "EXPNALL",
    "MAILS",
    "X234567890123456",
    "X2345678901234567",
    "HELO again.example",
    "\u{fc}ber alles",
    "VRFY b\u{f6}b",
    "",
    " ",
    "\t\0 ",
];

/// Keywords of a reply to EHLO.
pub const KEYWORDS: &[&str] = &[
    "SIZE 10240000",
    "SIZE",
    "8BITMIME",
    "STARTTLS",
    "STARTTLS ",
    "STARTTLSX",
    "STARTTL",
    "AUTH PLAIN LOGIN",
    "AUTH=LOGIN",
    "AUTH",
    "AUTHENTIC",
    "CHUNKING",
    "BINARYMIME",
    "PIPELINING",
    "DSN",
    "ENHANCEDSTATUSCODES",
    "ETRN",
    "VRFY",
    "EXPN",
    "HELP",
    "TURN",
    "ATRN",
    "XCLIENT NAME ADDR PORT",
    "XFORWARD NAME",
    "X-EXPS GSSAPI NTLM",
    "X-EXPS=LOGIN",
    "X-LINK2STATE",
    "XEXCH50",
    "X-ANONYMOUSTLS",
    "SMTPUTF8",
    "REQUIRETLS",
    "LIMITS RCPTMAX=100",
    "MT-PRIORITY MIXER",
    "DELIVERBY 1000",
    "FUTURERELEASE 1 2",
    "NO-SOLICITING",
    "XVERP",
    "SUBMITTER",
    "LONGEST-OF-WORDS",
    "LONGER-THAN-WORDS",
    "X",
    "S",
    "=",
    "",
];

/// Words that random policies speak of.
pub const VERBS: &[&str] = &[
    "EHLO",
    "HELO",
    "MAIL",
    "RCPT",
    "DATA",
    "RSET",
    "NOOP",
    "QUIT",
    "VRFY",
    "EXPN",
    "HELP",
    "ETRN",
    "STARTTLS",
    "STARTTL",
    "STARTTLSX",
    "AUTH",
    "BDAT",
    "TURN",
    "WIZ",
    "DEBUG",
    "EHLOX",
    "NOO",
    "A",
    "AB",
    "Q",
    "XCLIENT",
];

/// One of the commands.
pub fn command(random: &mut Random) -> Vec<u8> {
    if random.one_in(30) {
        let (verb, length) = (random.of(&["NOOP", "VRFY", "JUNK"]), random.below(1500));
        return line(random, &format!("{verb} {}", "y".repeat(length)));
    }
    let words = random.of(COMMANDS);
    let mut line = line(random, words);
    if random.one_in(12) && words != "STARTTLSX" {
        // A CR without LF, or another byte that parts words or does not, anywhere but in the line's end. It must not
        // make a STARTTLS: an honest client would wait for its reply.
        let at = random.below(line.len().saturating_sub(1));
        line.insert(at, random.of(b"\r\t\0\x7f\x0b\xff "));
    }
    line
}

/// A command's line: its verb in any case, now and then with blanks or another line end.
pub fn line(random: &mut Random, words: &str) -> Vec<u8> {
    let (verb, rest) = words.split_at(words.find([' ', '=']).unwrap_or(words.len()));
    let (front, back) = match random.below(24) {
        0 => (" ", ""),
        1 => ("", " "),
        2 => ("\t ", "\t"),
        _ => ("", ""),
    };
    let end = match random.below(24) {
        0 => "\n",
        1 => "\r\r\n",
        _ => "\r\n",
    };
    let verb = random.cased(verb);
    format!("{front}{verb}{rest}{back}{end}").into_bytes()
}

/// Mail data with dots doubled, which is full of what looks like something else. It ends with a line's end.
pub fn text(random: &mut Random, lines: usize, out: &mut Vec<u8>) {
    const BAIT: &[&[u8]] = &[
        b"EHLO in.text.example\r\n",
        b"..\r\n",
        b"..QUIT\r\n",
        b"\r\n",
        b"STARTTLS\r\n",
        b"DATA\r\n",
        b"BDAT 10 LAST\r\n",
        b"250-STARTTLS\r\n",
        b".. \r\n",
        b"bare LF\nVRFY bob\r\n",
        b"bare CR\rVRFY bob\r\n",
        b"bare LF and a dot\n.\nVRFY bob\r\n",
        b"\0\xff\x80\r\n",
    ];
    for _ in 0..lines {
        if random.one_in(3) {
            out.extend(random.of(BAIT));
        } else {
            let length = random.below(78);
            out.extend((0..length).map(|_| b'a' + random.below(26) as u8));
            out.extend(b"\r\n");
        }
    }
}
