//! Open enums: a number with named values, of which every other number is a value, too.
//!
//! What lies in maps and entries is written by whoever writes there, so a type whose unnamed values were undefined has no
//! place in it. Two kinds of number are two types, and cannot be taken for one another.

/// Makes a newtype of an unsigned integer with named values, the first of which is its default where it is 0.
macro_rules! open_enum {
    ($(#[$doc:meta])* pub struct $name:ident: $number:ty { $($(#[$value_doc:meta])* $value:ident = $of:expr;)* }) => {
        $(#[$doc])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Default, PartialEq, Eq)]
        pub struct $name(pub $number);

        impl $name {
            $($(#[$value_doc])* pub const $value: Self = Self($of);)*

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
