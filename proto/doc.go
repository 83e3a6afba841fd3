// Package proto is the agent–manager channel as bytes: what stands in a datagram, how it is sealed and opened,
// how counts are judged, and what the messages inside say. It is pure: no sockets, files, clocks, loggers or
// randomness of its own. docs/protocol.md is the reference for all of it.
//
// One datagram carries one message:
//
//	[ "!" ID "!" ]  ":"      blowfish-cbc( pad zlib( body ) )              IV FE DC BA 98 76 54 32 10
//	[ "!" ID "!" ]  "#AES:"  iv(16) aes-256-cbc( pad zlib( body ) pkcs7 )  OSSEC 4.0 and later
//	[ "!" ID "!" ]  "#AES:"  aes-256-cbc( pad zlib( body ) pkcs7 )         Wazuh, IV "FEDCBA0987654321"
//
//	pad   1 to 8 times "!", so that pad and stream are a multiple of 8 bytes
//	body  md5hex(32) random(5) global(10) ":" local(4) ":" message         md5 of all that follows it
//
//	message  "#!-" control message, or QUEUE ":" LOCATION ":" TEXT, an event
//
// [ParseFrame] reads the outer line, an [Opener] the inner ones; a [Sealer] writes both. [ParseFromAgent],
// [ParseFromManager] and [ParseEvent] read the message.
package proto
