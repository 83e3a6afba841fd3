package manager

import "os"

// hangup is empty: Windows has no such signal, and changed keys are taken up without one.
var hangup []os.Signal
