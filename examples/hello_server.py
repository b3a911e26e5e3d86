"""A server in a child process: python examples/hello_server.py"""

from coachman import AbstractServer


class MyServer(AbstractServer):
    def __init__(self) -> None:
        super().__init__()
        self.define_message_handler("hello", "handle_hello")

    # Runs in this process, the client.
    def hello(self, first_name: str, last_name: str) -> None:
        self.send_to_server("hello", first_name, last_name)
        reply, pointless_number = self.recv_from_server()
        print(f"The server said: {reply}")
        print(f"In addition, it sent this pointless number: {pointless_number}")

    # Runs in the child process, the server.
    def handle_hello(self, first_name: str, last_name: str) -> None:
        self.send_to_client(f"Hello {first_name} {last_name}, how are you?", 1234)


if __name__ == "__main__":
    server = MyServer()
    server.start()
    server.hello("Joe", "Dalton")
    server.stop()
