#include "textflag.h"

// func clone(flags uintptr, every *unix.Timespec) (errno uintptr)
//
// The new thread naps for ever and touches no stack: it shares the parent's.
TEXT ·clone(SB),NOSPLIT,$0-24
	MOVQ	flags+0(FP), DI
	MOVQ	every+8(FP), R12
	XORQ	SI, SI	// the same stack pointer
	XORQ	DX, DX
	XORQ	R10, R10
	XORQ	R8, R8
	MOVQ	$56, AX	// clone
	SYSCALL
	CMPQ	AX, $0
	JEQ	nap
	JGT	parent
	NEGQ	AX
	MOVQ	AX, errno+16(FP)
	RET
parent:
	MOVQ	$0, errno+16(FP)
	RET
nap:
	MOVQ	R12, DI
	XORQ	SI, SI
	MOVQ	$35, AX	// nanosleep
	SYSCALL
	JMP	nap
