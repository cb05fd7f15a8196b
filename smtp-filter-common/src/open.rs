//! Open enums: a number with named values. Every other number is a valid value, too.
//!
//! Maps and entries may hold any number, so a type with undefined values must not be used there. Two kinds of number
//! are two types, and cannot be confused.

/// Makes a newtype of an unsigned integer with named values, the first of which is its default where it is 0.
macro_rules! open_enum {
    ($(#[$doc:meta])* pub struct $name:ident: $number:ty { $($(#[$value_doc:meta])* $value:ident = $of:expr;)* }) => {
        $(#[$doc])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Default, PartialEq, Eq)]
        pub struct $name(pub $number);

        impl $name {
            $($(#[$value_doc])* pub const $value: Self = Self($of);)*

            /// The first number after all named ones: a match with an arm from here on needs no wildcard, and does not
            /// compile if a named value has none.
            pub const UNNAMED: $number = {
                let named = [$($of as $number),*];
                let (mut last, mut i) = (0, 0);
                while i < named.len() {
                    if named[i] > last {
                        last = named[i];
                    }
                    i += 1;
                }
                last + 1
            };

            /// Its number.
            #[inline(always)]
            pub const fn number(self) -> $number {
                self.0
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match *self {
                    $(Self::$value => formatter.write_str(stringify!($value)),)*
                    Self(number) => write!(formatter, "{}({number})", stringify!($name)),
                }
            }
        }
    };
}

pub(crate) use open_enum;
