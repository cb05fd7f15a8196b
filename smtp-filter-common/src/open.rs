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
