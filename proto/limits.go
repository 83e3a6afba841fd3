package proto

// Limits of the wire (docs/protocol.md, "Transport"). The inflated sizes are those of the stock buffers: they
// bound what one datagram can make us unpack.
const (
	MaxDatagram = 65_507 // the most that UDP carries over IPv4
	MaxIDLen    = 8      // digits of an agent's ID

	maxBodyOSSEC = 6_144  // inflated, overhead included
	maxBodyWazuh = 65_536 // likewise

	// MaxMessageOSSEC is the longest message, overhead not included, that stock OSSEC programs send. (They take 6,091.)
	MaxMessageOSSEC = 6_016
	// MaxMessageWazuh is likewise for Wazuh. What hardly compresses at that size may not fit a datagram; Seal
	// then says ErrTooLarge.
	MaxMessageWazuh = 65_408
	// ChunkSize is the most that one chunk of a pushed file holds.
	ChunkSize = 900

	bodyOverhead = 53 // md5, random, global, local and their colons
)

// MaxMessage is the longest message that a peer of the dialect takes.
func MaxMessage(d Dialect) int {
	if d == Wazuh {
		return MaxMessageWazuh
	}
	return MaxMessageOSSEC
}

// maxBody bounds inflating. A Blowfish peer whose dialect is not known yet may be of either.
func maxBody(d Dialect) int {
	if d == OSSEC {
		return maxBodyOSSEC
	}
	return maxBodyWazuh
}
