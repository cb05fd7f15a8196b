//! Verbs and keywords by what the built-in policies do with them.

/// The commands of RFC 821.
pub const RFC_821: &[&str] =
    &["HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP", "SEND", "SOML", "SAML", "TURN"];

/// EHLO and the commands that came with it: of RFC 1985 (ETRN), 2645 (ATRN), 3030 (BDAT), 3207 (STARTTLS), 4468
/// (BURL), 4954 (AUTH), LMTP's greeting (RFC 2033), and the private ones of Postfix, Sendmail and Exchange.
pub const ESMTP: &[&str] = &[
    "EHLO",
    "LHLO",
    "STARTTLS",
    "AUTH",
    "BDAT",
    "BURL",
    "ETRN",
    "ATRN",
    "XCLIENT",
    "XFORWARD",
    "VERB",
    "ONEX",
    "XEXCH50",
    "X-LINK2STATE",
    "X-EXPS",
    "X-ANONYMOUSTLS",
];

/// The commands that MailGuard let through: those that every server has (RFC 821 section 4.5.1).
pub(super) const MAILGUARD: &[&str] = &["HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT"];

/// What the ASA's inspection let through besides.
pub(super) const ASA: &[&str] = &["AUTH", "EHLO", "ETRN", "HELP", "SAML", "SEND", "SOML", "VRFY"];

/// Keywords that the ASA's inspection knew by name.
pub(super) const ASA_KEYWORDS: &[&str] =
    &["8BITMIME", "AUTH", "CHECKPOINT", "DSN", "ETRN", "PIPELINING", "SIZE", "VRFY"];

/// What mail needs today besides [`MAILGUARD`], and what a word about its extension decides.
pub(super) const CAREFUL: &[&str] = &["EHLO", "STARTTLS", "AUTH", "BDAT"];

/// Extensions that only bring parameters, or STARTTLS.
pub(super) const CAREFUL_KEYWORDS: &[&str] = &[
    "8BITMIME",
    "DELIVERBY",
    "DSN",
    "LIMITS",
    "MT-PRIORITY",
    "PIPELINING",
    "REQUIRETLS",
    "RRVS",
    "SIZE",
    "SMTPUTF8",
    "STARTTLS",
];

/// Extensions that a careful postmaster does not offer in clear: passwords, chunks, whatever says something about users
/// or makes a server work for strangers, and what servers use among themselves.
pub(super) const HIDDEN_KEYWORDS: &[&str] = &[
    "ATRN",
    "AUTH",
    "BINARYMIME",
    "BURL",
    "CHUNKING",
    "ETRN",
    "EXPN",
    "HELP",
    "ONEX",
    "TURN",
    "VERB",
    "VRFY",
    "X-ANONYMOUSTLS",
    "X-EXPS",
    "X-LINK2STATE",
    "XCLIENT",
    "XEXCH50",
    "XFORWARD",
];
