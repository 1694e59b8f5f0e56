#include "textflag.h"

// func clone(flags uintptr, every *unix.Timespec) (errno uintptr)
//
// The new thread naps for ever and touches no stack: it shares the parent's.
TEXT ·clone(SB),NOSPLIT,$0-24
	MOVD	flags+0(FP), R0
	MOVD	every+8(FP), R19
	MOVD	$0, R1	// the same stack pointer
	MOVD	$0, R2
	MOVD	$0, R3
	MOVD	$0, R4
	MOVD	$220, R8	// clone
	SVC	$0
	CBZ	R0, nap
	CMP	$0, R0
	BGT	parent
	NEG	R0, R0
	MOVD	R0, errno+16(FP)
	RET
parent:
	MOVD	$0, errno+16(FP)
	RET
nap:
	MOVD	R19, R0
	MOVD	$0, R1
	MOVD	$101, R8	// nanosleep
	SVC	$0
	B	nap
