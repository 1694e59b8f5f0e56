package bpf

// Program is one of the programs, by the name it has in telemetry.
type Program string

// The programs. All but the census are optional.
const (
	CensusProgram     Program = "census"
	ContentionProgram Program = "contention"
	MigrationProgram  Program = "migration" // goes with the contention program
	ExitsProgram      Program = "exits"
	OOMProgram        Program = "oom"
)
