//! Where the first JSON value of a text ends, or why it is none, in the words of Go's scanner.
//!
//! Source: Go `encoding/json/scanner.go`. Depth takes a byte of a vector each, not the stack.

/// Go's limit.
const MAX_DEPTH: usize = 10_000;

/// What is open: an object or an array.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Object,
    Array,
}

pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The length of the text up to the end of its first value.
///
/// # Errors
/// The message of Go's `SyntaxError`, or `unexpected EOF`.
pub fn first_value(text: &[u8]) -> Result<usize, String> {
    let mut scanner = Scanner { text, at: 0 };
    let mut open = Vec::new();
    loop {
        // Here a value begins.
        match scanner.peek()? {
            b'{' => {
                scanner.at += 1;
                if scanner.peek()? == b'}' {
                    scanner.at += 1;
                } else {
                    scanner.key()?;
                    push(&mut open, Open::Object)?;
                    continue;
                }
            }
            b'[' => {
                scanner.at += 1;
                if scanner.peek()? == b']' {
                    scanner.at += 1;
                } else {
                    push(&mut open, Open::Array)?;
                    continue;
                }
            }
            _ => scanner.scalar()?,
        }
        // Here one has ended: so may what it is in.
        loop {
            let Some(&inside) = open.last() else { return Ok(scanner.at) };
            match (inside, scanner.peek()?) {
                (Open::Object, b'}') | (Open::Array, b']') => {
                    scanner.at += 1;
                    open.pop();
                }
                (Open::Object, b',') => {
                    scanner.at += 1;
                    scanner.key()?;
                    break;
                }
                (Open::Array, b',') => {
                    scanner.at += 1;
                    break;
                }
                (Open::Object, _) => return scanner.unexpected("after object key:value pair"),
                (Open::Array, _) => return scanner.unexpected("after array element"),
            }
        }
    }
}

fn push(open: &mut Vec<Open>, what: Open) -> Result<(), String> {
    if open.len() == MAX_DEPTH {
        return Err("exceeded max depth".to_owned());
    }
    open.push(what);
    Ok(())
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn byte(&self) -> Result<u8, String> {
        self.text.get(self.at).copied().ok_or_else(|| "unexpected EOF".to_owned())
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Result<u8, String> {
        while self.text.get(self.at).copied().is_some_and(is_space) {
            self.at += 1;
        }
        self.byte()
    }

    fn unexpected<T>(&self, context: &str) -> Result<T, String> {
        let shown = match self.byte()? {
            b'\'' => r"'\''".to_owned(),
            b'"' => r#"'"'"#.to_owned(),
            b'\\' => r"'\\'".to_owned(),
            byte @ 0..0x20 | byte @ 0x7f => match byte {
                b'\n' => r"'\n'".to_owned(),
                b'\t' => r"'\t'".to_owned(),
                b'\r' => r"'\r'".to_owned(),
                byte => format!(r"'\x{byte:02x}'"),
            },
            byte => format!("'{}'", char::from(byte)),
        };
        Err(format!("invalid character {shown} {context}"))
    }

    /// A name and its colon.
    fn key(&mut self) -> Result<(), String> {
        if self.peek()? != b'"' {
            return self.unexpected("looking for beginning of object key string");
        }
        self.string()?;
        if self.peek()? != b':' {
            return self.unexpected("after object key");
        }
        self.at += 1;
        Ok(())
    }

    fn scalar(&mut self) -> Result<(), String> {
        match self.byte()? {
            b'"' => self.string(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.unexpected("looking for beginning of value"),
        }
    }

    fn string(&mut self) -> Result<(), String> {
        self.at += 1;
        loop {
            match self.byte()? {
                b'"' => break,
                b'\\' => {
                    self.at += 1;
                    match self.byte()? {
                        b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => self.at += 1,
                        b'u' => {
                            self.at += 1;
                            for _ in 0..4 {
                                if !self.byte()?.is_ascii_hexdigit() {
                                    return self.unexpected("in \\u hexadecimal character escape");
                                }
                                self.at += 1;
                            }
                        }
                        _ => return self.unexpected("in string escape code"),
                    }
                }
                0..0x20 => return self.unexpected("in string literal"),
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Result<(), String> {
        for expected in word.bytes() {
            if self.byte()? != expected {
                return self.unexpected(&format!("in literal {word} (expecting '{}')", char::from(expected)));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        if self.byte()? == b'-' {
            self.at += 1;
        }
        match self.byte()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits(),
            _ => return self.unexpected("in numeric literal"),
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte()?, b'+' | b'-') {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn some_digits(&mut self, context: &str) -> Result<(), String> {
        if !self.byte()?.is_ascii_digit() {
            return self.unexpected(context);
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_end_where_they_end() {
        for (text, end) in [
            ("{}", 2),
            (" [1, 2.5e-3, {\"a\":[]}] x", 22),
            ("\"a\\u00e9\\n\" ", 11),
            ("-0", 2),
            ("true false", 4),
            ("01", 1),
        ] {
            assert_eq!(first_value(text.as_bytes()), Ok(end), "{text}");
        }
    }

    #[test]
    fn faults_are_in_gos_words() {
        for (text, fault) in [
            ("[1 2]", "invalid character '2' after array element"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"a\nb\"", "invalid character '\\n' in string literal"),
            ("-a", "invalid character 'a' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1e+", "unexpected EOF"),
            ("'", "invalid character '\\'' looking for beginning of value"),
            ("[[", "unexpected EOF"),
        ] {
            assert_eq!(first_value(text.as_bytes()), Err(fault.to_owned()), "{text}");
        }
        assert_eq!(first_value("[".repeat(20_000).as_bytes()), Err("exceeded max depth".to_owned()));
    }
}
