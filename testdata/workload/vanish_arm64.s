#include "textflag.h"

// func vanish(flags, loops uintptr) (errno uintptr)
//
// The child touches no stack: it may share its parent's, even while that runs.
TEXT ·vanish(SB),NOSPLIT,$0-24
	MOVD	flags+0(FP), R0
	MOVD	loops+8(FP), R9	// the child has it, too
	MOVD	$0, R1	// the same stack pointer
	MOVD	$0, R2
	MOVD	$0, R3
	MOVD	$0, R4
	MOVD	$220, R8	// clone
	SVC	$0
	CBZ	R0, child
	CMP	$0, R0
	BGT	parent
	NEG	R0, R0
	MOVD	R0, errno+16(FP)
	RET
parent:
	MOVD	$0, errno+16(FP)
	RET
child:
	SUB	$1, R9
	CMP	$0, R9
	BGT	child
exit:
	MOVD	$0, R0
	MOVD	$93, R8	// exit: this thread
	SVC	$0
	B	exit
