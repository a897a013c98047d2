package datapath

// The numbers below are the #defines of the same words in bpf/flow.h and bpf/maps.h,
// where each is explained; a test compares them.
const (
	flowsPerBucket = 8
	bucketFavoured = 3

	tagFree  = 0
	tagBusy  = 1
	tagFirst = 2

	familyIPv4 = 4
	familyIPv6 = 6

	statusSYN0      = 1 << 0
	statusSYN1      = 1 << 1
	statusAcked0    = 1 << 2
	statusAcked1    = 1 << 3
	statusFIN0      = 1 << 4
	statusFIN1      = 1 << 5
	statusClosed    = 1 << 6
	statusReplied   = 1 << 7
	statusMidstream = 1 << 8
	statusFlushed   = 1 << 9
	statusDead      = 1 << 10

	statusAcked = statusAcked0 | statusAcked1
	statusFIN   = statusFIN0 | statusFIN1
	statusGone  = statusFlushed | statusDead

	timeoutTCPNew      = 60000
	timeoutTCPClosed   = 60000
	timeoutNew         = 30000
	timeoutEstablished = 300000

	maxEndpoints        = 1024
	policiesPerEndpoint = 4

	actionPass    = 0
	actionDrop    = 1
	actionForward = 2

	exceptionDrop     = 0
	exceptionContinue = 1
	exceptionReject   = 2

	endpointFree    = 0
	endpointInUse   = 1
	endpointLeaving = 2
)

// The order of enum verdict in bpf/maps.h.
const (
	verdictPassedStateless = iota
	verdictPassedStateful
	verdictDroppedStateless
	verdictDroppedStateful
	verdictRejected
	verdictStreamException
	verdictInvalid
	verdictOtherDropped
)
