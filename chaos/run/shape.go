package run

import "fmt"

// A Shape is how many take part in a run.
type Shape struct {
	Processes  int
	Goroutines int // of each process
	Names      int // that they want, beside the one for crowds
}

// Usual is the shape of a run that names no other.
var Usual = Shape{Processes: 4, Goroutines: 5, Names: 6}

// String describes the shape in one line of a table.
func (s Shape) String() string {
	return fmt.Sprintf("%d × %d on %d", s.Processes, s.Goroutines, s.Names)
}

// Check returns an error for a shape that no machine has room for, or none needs.
func (s Shape) Check() error {
	for _, n := range []struct {
		what  string
		value int
		most  int
	}{{"processes", s.Processes, 32}, {"goroutines", s.Goroutines, 1000}, {"names", s.Names, 64}} {
		if n.value < 1 || n.value > n.most {
			return fmt.Errorf("%d %s are not in 1…%d", n.value, n.what, n.most)
		}
	}
	return nil
}

// sitters is how many goroutines of a process hold for long: a fifth of them, and
// none where all are needed to churn.
func (s Shape) sitters() int {
	if s.Goroutines == 1 || s.Names == 1 {
		return 0
	}
	return max(1, s.Goroutines/5)
}

// long is how many names are held for long: a third of them.
func (s Shape) long() int {
	if s.sitters() == 0 {
		return 0
	}
	return max(1, s.Names/3)
}
