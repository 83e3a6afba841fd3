package enroll

import "time"

const (
	// maxOpen is how many connections there may be at once, and maxOpenFrom how many from one address. What one costs is
	// bounded by the TLS handshake and the longest request: some 60 KB.
	maxOpen     = 1024
	maxOpenFrom = 16

	// spareFor is how long a connection that has said something is left alone where places are short. In that time all places are
	// served, if nobody dawdles.
	spareFor = time.Second

	// An address may connect at this rate. Agents behind one NAT share it, and try again.
	connectRate  = 50 // a second
	connectBurst = 100

	// An address that shows wrong passwords or tokens is not let in for a while: guessing has ten tries, then one each 6 s.
	guessRate  = 1.0 / 6
	guessBurst = 10

	// maxClients bounds the addresses that are remembered, and forgetEvery how often all of them are gone through for such as can be
	// forgotten.
	maxClients  = 16 << 10
	forgetEvery = time.Second

	// Of all addresses together so many wrong passwords are taken; beyond, no password is looked at for a while. A password can be
	// guessed, and who guesses can have many addresses. Tokens cannot be guessed, and are taken all the time.
	wrongRate  = 1.0 // a second
	wrongBurst = 1000

	// requestWithin is what an agent may take for the handshake and its request, answerWithin for taking the answer.
	requestWithin = 10 * time.Second
	answerWithin  = 10 * time.Second

	// stopWithin is what an answer that is on its way gets at a stop; the whole stop has 2 s.
	stopWithin = 500 * time.Millisecond

	// editWithin bounds the wait for the keys file while another process holds it.
	editWithin = 5 * time.Second

	// restMost bounds the rest between two edits of the keys file.
	restMost = 100 * time.Millisecond

	// acceptPause is the pause where the system gives no connections, as when there are too many open files.
	acceptPause = 100 * time.Millisecond

	// maxTold is for how many reasons and addresses refusals are logged apart; past it they share a line for each reason.
	maxTold = 128

	// minReplace keeps two hosts of one name from taking the key from each other in turn.
	minReplace = time.Minute

	maxPassword = 1024 // bytes of the password file's first line
	maxNumber   = 9999 // of a name that is taken: web2 to web9999

	// certFor is how long a certificate of our own is valid.
	certFor = 10 * 365 * 24 * time.Hour
)
