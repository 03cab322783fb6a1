//! What the demonstration needs besides the product: made-up traffic.

pub mod traffic;
