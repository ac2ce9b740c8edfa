// Package dig reads Digdag's workflow files and compiles them to native definitions. It is pure.
//
//	daily.dig, sub.dig  -> Parse    a tree of values with their lines
//	                    -> Compile  scopes of variables, tasks, operators
//	                    -> Workflow a native definition, and for each of its tasks the one of Digdag
//
// A group is a group, an order is needs, a variable is an expression over the input, the session or
// the tasks that set it. What a ${...} computes in JavaScript, rather than names, is computed by a task
// of type script before the task that uses it, its Helper.
package dig
