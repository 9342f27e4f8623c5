//! Clients against a local server that speaks each documented wire format and keeps its own books: what was asked how often, and
//! what it cost, is asserted from what the server saw.

mod bioportal;
mod canary;
mod conduct;
mod connections;
mod gemini;
mod openai;
mod server;
mod till;
mod vertex;
