//! SSH tunnels as a library.
