package proto

// KeySize is the length in bytes of what both ciphers are keyed with.
const KeySize = 47

// Key is the key of one agent as derived from its line of client.keys: 47 lower-case hexadecimal digits, all
// of them Blowfish's key and the first 32 AES's (docs/protocol.md, "Key derivation"). Package keys derives it.
type Key [KeySize]byte
