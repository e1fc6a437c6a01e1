// Package simulator is what the simulators of the two national services have in common:
// rows of misbehaviour, the ways to misbehave on a socket, a list of what was asked, a page
// that says that this is not Spine, and starting and stopping.
//
// A simulator embeds a [Server] of its own kind of request, and hands every request that it
// can read to [Server.Play] with a function that answers it. What the service knows of
// patients and messages stays with the simulator:
//
//	type Server struct {
//		simulator.Server[Request]
//		people *pdstest.Population
//	}
//
// Misbehaviour is one language for both, see [Fault]. While a simulator runs its rows can be
// read and replaced at [ControlPath], from the machine it runs on:
//
//	curl -X PUT --data 'op=read,times=3,do=429:5' http://127.0.0.1:8681/control
//
// The package stands apart from pdstest because it speaks HTTP, which a population and a
// conformance suite have no need of.
package simulator
