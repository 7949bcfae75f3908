// Package chain has doubly linked lists whose elements carry their links: one that is in
// the middle leaves at once, and nothing is allocated. An element has a [Link] for each
// list that it may be in at a time.
package chain

import "iter"

// A Link is an element's place in a list. The zero value is in none.
type Link[T any] struct {
	self       *T
	list       *List[T]
	prev, next *Link[T]
}

// List returns the list that the element is in, or nil.
func (l *Link[T]) List() *List[T] { return l.list }

// Next returns the element behind this one, or nil.
func (l *Link[T]) Next() *T { return l.next.element() }

func (l *Link[T]) element() *T {
	if l == nil {
		return nil
	}
	return l.self
}

// Remove takes the element out of its list, if it is in one.
func (l *Link[T]) Remove() {
	list := l.list
	if list == nil {
		return
	}
	if l.prev == nil {
		list.first = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		list.last = l.prev
	} else {
		l.next.prev = l.prev
	}
	list.len--
	*l = Link[T]{}
}

// A List has elements in order. The zero value is empty. It must not be copied once it
// was used.
type List[T any] struct {
	first, last *Link[T]
	len         int
}

// Len returns the number of elements.
func (l *List[T]) Len() int { return l.len }

// First returns the first element, or nil.
func (l *List[T]) First() *T { return l.first.element() }

// Last returns the last element, or nil.
func (l *List[T]) Last() *T { return l.last.element() }

// Push puts x, whose link is at, at the end. It must be in no list.
func (l *List[T]) Push(x *T, at *Link[T]) {
	*at = Link[T]{self: x, list: l, prev: l.last}
	if l.last == nil {
		l.first = at
	} else {
		l.last.next = at
	}
	l.last = at
	l.len++
}

// Unshift puts x, whose link is at, at the beginning. It must be in no list.
func (l *List[T]) Unshift(x *T, at *Link[T]) {
	*at = Link[T]{self: x, list: l, next: l.first}
	if l.first == nil {
		l.last = at
	} else {
		l.first.prev = at
	}
	l.first = at
	l.len++
}

// Pop takes out the first element and returns it, or returns nil.
func (l *List[T]) Pop() *T {
	x := l.First()
	if x != nil {
		l.first.Remove()
	}
	return x
}

// All returns the elements in order. The one that was returned last may be removed.
func (l *List[T]) All() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for at := l.first; at != nil; {
			next := at.next
			if !yield(at.self) {
				return
			}
			at = next
		}
	}
}
